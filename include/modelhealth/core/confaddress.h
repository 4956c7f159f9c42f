/* SPDX-License-Identifier: MIT */
/*
 * Configuration values that are addresses: blocks for deny_addresses, listeners for status.listen,
 * names of hosts for status.allowed_hosts.
 */
#pragma once

#include "modelhealth/core/conf.h"

/* A list of addresses and blocks into struct address_block * and its size_t count. */
extern const struct conf_custom conf_address_blocks;

/* A list of listeners into struct conf_strings. */
extern const struct conf_custom conf_listen;

/* A list of names of hosts into struct conf_strings. */
extern const struct conf_custom conf_host_names;

/* "10.0.0.0/8", "::1", "192.0.2.1". Bits after the prefix must be zero. 0 or -EINVAL. */
int address_block_parse(const char *text, struct address_block *ret_block);
