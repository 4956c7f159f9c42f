/* SPDX-License-Identifier: MIT */
/*
 * The journal as a log sink: journald's native datagram protocol on a socket of our own, because
 * sd_journal_sendv() blocks as soon as journald stops reading. A record that cannot be sent at
 * once is dropped and counted, and so is what is said of single endpoints when it is more than
 * journald would keep; journal_tell_loss says how many.
 * Protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL
 */
#pragma once

#include "modelhealth/base/log.h"

struct journal;

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Whether stderr goes to the journal already ($JOURNAL_STREAM), so that records should go there
 * with their fields. */
bool journal_is_stderr(void);

/* 0 or -errno. path is copied. */
int journal_open(const char *path, struct journal **ret_journal);

/* Waits up to 100 ms for the last record to be read; to be called at the end of the process. */
struct journal *journal_close(struct journal *journal);

/* A log_sink_fn; ctx is the struct journal. */
void journal_sink(void *ctx, const struct log_record *record);

/* Says how many records were dropped since it last said so, and how things stand now: for this is
 * what those who miss them want to know. To be called about once a second; a loss that goes on is
 * told every ten seconds, and one that journald does not hear of is told later. */
void journal_tell_loss(struct journal *journal, const char *state);

uint64_t journal_dropped_total(const struct journal *journal);
