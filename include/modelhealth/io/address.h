/* SPDX-License-Identifier: MIT */
/*
 * One IP address as a value: parsing, the deny list, and whether this machine has a route to it.
 */
#pragma once

#include <sys/socket.h>

#include "modelhealth/base/defs.h"
#include "modelhealth/core/spec.h"

struct address {
	uint8_t bytes[16]; /* IPv4 as v4-mapped IPv6 */
};

enum {
	ADDRESS_TEXT_SIZE = 46
};

/* Strict dotted quad or IPv6 (no brackets, no zone, no short or hexadecimal IPv4). */
bool address_parse(const char *text, struct address *ret_address);

/* As address_parse reads it back; IPv4 without the mapping. */
void address_format(const struct address *address, char ret_text[static ADDRESS_TEXT_SIZE]);

/* False for a family that is neither AF_INET nor AF_INET6. */
bool address_from_sockaddr(const struct sockaddr *sockaddr, struct address *ret_address);

bool address_is_ipv4(const struct address *address);

/*
 * Whether a block of the list covers the address. An IPv4 address inside NAT64 (64:ff9b::/96) or
 * 6to4 (2002::/16) is looked at as itself too: a gateway would carry the connection there.
 */
bool address_is_denied(
	const struct address *address, const struct address_block *blocks, size_t n_blocks);

/*
 * 0 when this machine has a route to the address, else the negative errno of the routing table
 * (-ENETUNREACH, -EAFNOSUPPORT, -EMFILE …). Asks by connecting a datagram socket: nothing is sent
 * and nothing blocks.
 */
int address_route(const struct address *address);
