/* SPDX-License-Identifier: MIT */
/*
 * Reads and prints the addresses of the configuration. Names are never resolved here.
 */
#include "modelhealth/core/confaddress.h"

#include "modelhealth/core/confvalue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>

enum {
	MAX_ADDRESSES = 256,
	V4_MAPPED_BITS = 96
};

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

/* ---- blocks ---- */

static bool rest_is_zero(const struct address_block *block)
{
	for (unsigned bit = block->prefix; bit < 128; bit++) {
		if (block->address[bit / 8] & (0x80u >> (bit % 8)))
			return false;
	}
	return true;
}

int address_block_parse(const char *text, struct address_block *ret_block)
{
	char address[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "/");
	struct address_block block = { 0 };
	unsigned first_bit = 0;
	uint64_t prefix;

	if (len >= sizeof address)
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, block.address + sizeof v4_mapped) == 1) {
		memcpy(block.address, v4_mapped, sizeof v4_mapped);
		first_bit = V4_MAPPED_BITS;
	} else if (inet_pton(AF_INET6, address, block.address) != 1) {
		return -EINVAL;
	}
	prefix = 128 - first_bit;
	if (text[len] == '/' &&
		(u64_parse(text + len + 1, &prefix) < 0 || prefix > 128 - first_bit))
		return -EINVAL;
	block.prefix = (uint8_t)(first_bit + prefix);
	if (!rest_is_zero(&block))
		return -EINVAL;
	*ret_block = block;
	return 0;
}

struct blocks {
	const struct address_block *items;
	size_t n;
};

/* Nothing is no empty list: whoever comments out the last address must not lose the guard. */
static int parse_blocks(struct conf_scope *scope, const struct node *node, void *field)
{
	bool is_list = node->type == NODE_SEQUENCE;
	const struct node *item = is_list ? node->first_child : node;
	size_t n = is_list ? node->n_children : 1;
	struct address_block *blocks;
	int rc = 0;

	if (node->type == NODE_MAPPING || node_is_null(node))
		return conf_error(scope, node,
			"expected a list of address blocks ([] for none), got %s",
			conf_got(scope, node));
	if (n > MAX_ADDRESSES)
		return conf_error(scope, node, "expected at most %d items", MAX_ADDRESSES);
	blocks = arena_calloc(conf_arena(scope), n + 1, sizeof *blocks);
	if (!blocks)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++, item = item->next) {
		if (item->is_bad)
			continue;
		if (address_block_parse(item->text, &blocks[i]) < 0)
			rc = conf_error(scope, item,
				"expected an address or a block like 169.254.0.0/16 or fe80::/10, "
				"with zeros after the prefix; got %s",
				conf_got(scope, item));
	}
	*(struct blocks *)field = (struct blocks){ blocks, n };
	return rc;
}

static void print_block(const struct address_block *block, struct sbuf *out)
{
	bool is_v4 = block->prefix >= V4_MAPPED_BITS &&
		     memcmp(block->address, v4_mapped, sizeof v4_mapped) == 0;
	char text[INET6_ADDRSTRLEN];

	if (is_v4)
		(void)inet_ntop(AF_INET, block->address + sizeof v4_mapped, text, sizeof text);
	else
		(void)inet_ntop(AF_INET6, block->address, text, sizeof text);
	sbuf_printf(out, "\"%s/%d\"", text, block->prefix - (is_v4 ? V4_MAPPED_BITS : 0));
}

static void print_blocks(struct sbuf *out, const void *field)
{
	const struct blocks *blocks = field;

	for (size_t i = 0; i < blocks->n; i++) {
		sbuf_puts(out, i == 0 ? "[ " : ", ");
		print_block(&blocks->items[i], out);
	}
	sbuf_puts(out, blocks->n == 0 ? "[]" : " ]");
}

const struct conf_custom conf_address_blocks = {
	.parse = parse_blocks,
	.print = print_blocks,
	.schema = "{\"type\":[\"array\",\"string\"],\"items\":{\"type\":\"string\"}}",
};

/* ---- listeners ---- */

static bool is_socket_path(const char *path)
{
	return path[0] == '/' && strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
}

static bool is_ip(int family, const char *text, size_t len)
{
	uint8_t address[sizeof(struct in6_addr)];
	char copy[INET6_ADDRSTRLEN];

	if (len >= sizeof copy)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return inet_pton(family, copy, address) == 1;
}

static bool is_listener(const char *text)
{
	const char *port = strrchr(text, ':');
	uint64_t number;

	if (strncmp(text, "unix:", 5) == 0)
		return is_socket_path(text + 5);
	if (!port || u64_parse(port + 1, &number) < 0 || number > UINT16_MAX)
		return false;

	size_t len = (size_t)(port - text);

	if (len > 2 && text[0] == '[' && text[len - 1] == ']')
		return is_ip(AF_INET6, text + 1, len - 2);
	return is_ip(AF_INET, text, len);
}

/* A list of texts that are all what `expected` says. */
static int parse_texts(struct conf_scope *scope, const struct node *node,
	bool (*is_good)(const char *text), const char *expected, struct conf_strings *texts)
{
	static const struct conf_key as_list = { .name = "list", .type = CONF_STRING_LIST };
	const struct node *item = node->type == NODE_SEQUENCE ? node->first_child : node;
	int rc = conf_value_parse(scope, &as_list, node, texts);

	for (size_t i = 0; rc != -ENOMEM && i < texts->n; i++, item = item->next) {
		if (!item->is_bad && !is_good(texts->items[i]))
			rc = conf_error(scope, item, "expected %s; got %s", expected,
				conf_got(scope, item));
	}
	return rc;
}

static void print_texts(struct sbuf *out, const void *field)
{
	const struct conf_strings *texts = field;

	for (size_t i = 0; i < texts->n; i++) {
		sbuf_puts(out, i == 0 ? "[ " : ", ");
		conf_print_string(texts->items[i], out);
	}
	sbuf_puts(out, texts->n == 0 ? "[]" : " ]");
}

static int parse_listen(struct conf_scope *scope, const struct node *node, void *field)
{
	struct conf_strings *listen = field;
	int rc = parse_texts(scope, node, is_listener,
		"an IP address with a port like 127.0.0.1:9877 or [::1]:9877, or "
		"unix:/absolute/path",
		listen);

	return rc == 0 && listen->n == 0 ? conf_error(scope, node, "expected at least one listener")
					 : rc;
}

const struct conf_custom conf_listen = {
	.parse = parse_listen,
	.print = print_texts,
	.schema = "{\"type\":[\"array\",\"string\"],\"items\":{\"type\":\"string\"}}",
};

/* ---- names of hosts ---- */

static bool is_host_name(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_";

	return text[0] != '\0' && text[strspn(text, letters)] == '\0';
}

static int parse_hosts(struct conf_scope *scope, const struct node *node, void *field)
{
	return parse_texts(scope, node, is_host_name,
		"the name of a host like health.internal, without scheme and port", field);
}

const struct conf_custom conf_host_names = {
	.parse = parse_hosts,
	.print = print_texts,
	.schema = "{\"type\":[\"array\",\"string\",\"null\"],\"items\":{\"type\":\"string\","
		  "\"pattern\":\"^[A-Za-z0-9._-]+$|[$][{]\"}}",
};
