/* SPDX-License-Identifier: MIT */
/*
 * Addresses as 16 bytes, so that the deny list has one form to compare. Used by the resolver and,
 * on the final socket address, by the transfer engine. Owns nothing.
 */
#include "modelhealth/io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };
static const uint8_t nat64_prefix[12] = { 0x00, 0x64, 0xff, 0x9b };
static const uint8_t six_to_four_prefix[2] = { 0x20, 0x02 };

static void set_ipv4(struct address *address, const void *four_bytes)
{
	memcpy(address->bytes, mapped_prefix, sizeof mapped_prefix);
	memcpy(address->bytes + 12, four_bytes, 4);
}

bool address_parse(const char *text, struct address *ret_address)
{
	struct in_addr ipv4;

	if (inet_pton(AF_INET, text, &ipv4) == 1) {
		set_ipv4(ret_address, &ipv4);
		return true;
	}
	return inet_pton(AF_INET6, text, ret_address->bytes) == 1;
}

void address_format(const struct address *address, char ret_text[static ADDRESS_TEXT_SIZE])
{
	if (address_is_ipv4(address))
		must(inet_ntop(AF_INET, address->bytes + 12, ret_text, ADDRESS_TEXT_SIZE));
	else
		must(inet_ntop(AF_INET6, address->bytes, ret_text, ADDRESS_TEXT_SIZE));
}

bool address_from_sockaddr(const struct sockaddr *sockaddr, struct address *ret_address)
{
	if (sockaddr->sa_family == AF_INET) {
		set_ipv4(ret_address,
			&((const struct sockaddr_in *)(const void *)sockaddr)->sin_addr);
		return true;
	}
	if (sockaddr->sa_family == AF_INET6) {
		memcpy(ret_address->bytes,
			&((const struct sockaddr_in6 *)(const void *)sockaddr)->sin6_addr, 16);
		return true;
	}
	return false;
}

bool address_is_ipv4(const struct address *address)
{
	return memcmp(address->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

static bool block_covers(const struct address_block *block, const struct address *address)
{
	size_t bytes = block->prefix / 8;
	unsigned bits = block->prefix % 8;

	if (memcmp(block->address, address->bytes, bytes) != 0)
		return false;
	return bits == 0 || (block->address[bytes] ^ address->bytes[bytes]) >> (8 - bits) == 0;
}

static bool any_covers(
	const struct address_block *blocks, size_t n_blocks, const struct address *address)
{
	for (size_t i = 0; i < n_blocks; i++) {
		if (block_covers(&blocks[i], address))
			return true;
	}
	return false;
}

/* The IPv4 address that a translating gateway would reach for an IPv6 one. */
static bool embedded_ipv4(const struct address *address, struct address *ret_inner)
{
	if (memcmp(address->bytes, nat64_prefix, sizeof nat64_prefix) == 0) {
		set_ipv4(ret_inner, address->bytes + 12);
		return true;
	}
	if (memcmp(address->bytes, six_to_four_prefix, sizeof six_to_four_prefix) == 0) {
		set_ipv4(ret_inner, address->bytes + 2);
		return true;
	}
	return false;
}

bool address_is_denied(
	const struct address *address, const struct address_block *blocks, size_t n_blocks)
{
	struct address inner;

	return any_covers(blocks, n_blocks, address) ||
	       (embedded_ipv4(address, &inner) && any_covers(blocks, n_blocks, &inner));
}

int address_route(const struct address *address)
{
	bool is_ipv4 = address_is_ipv4(address);
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	_cleanup_(closep) int fd =
		socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	memcpy(&to4.sin_addr, address->bytes + 12, 4);
	memcpy(&to6.sin6_addr, address->bytes, 16);
	r = is_ipv4 ? connect(fd, (const struct sockaddr *)&to4, sizeof to4)
		    : connect(fd, (const struct sockaddr *)&to6, sizeof to6);
	return r < 0 ? -errno : 0;
}
