/* SPDX-License-Identifier: MIT */
/*
 * The order of stores is all that a process which is killed needs: what it wrote is in memory, up
 * to some instruction. The fences keep the compiler from changing that order.
 */
#include "modelhealth/core/ledger.h"

#include "modelhealth/base/rand.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = "mhstate";

/* Clocks that were set wrong must not make a state look older than that. */
static const usec_t max_elapsed = 365 * 86400 * USEC_PER_SEC;

struct header {
	char magic[8];
	uint32_t version, record_size;
	uint64_t area;     /* first slot << 32 | slots */
	uint64_t sum;      /* of a file: over all of it, with 0 here; in memory 0 */
	uint64_t saved_at; /* of a file: monotonic, and the same as wall time */
	uint64_t saved_real;
	uint64_t spare[4];
};

static_assert(sizeof(struct header) == RECORD_SIZE, "it takes one slot");

static struct header *header_of(struct record *slots)
{
	return (struct header *)(void *)slots;
}

static const struct header *const_header_of(const struct record *slots)
{
	return (const struct header *)(const void *)slots;
}

static size_t first_of(uint64_t area)
{
	return (size_t)(area >> 32);
}

static size_t length_of(uint64_t area)
{
	return (size_t)(area & UINT32_MAX);
}

static uint64_t make_area(size_t first, size_t n)
{
	return (uint64_t)first << 32 | n;
}

/* ---- writing ---- */

static struct header make_header(uint64_t area)
{
	struct header header = {
		.version = RECORD_VERSION, .record_size = RECORD_SIZE, .area = area
	};

	memcpy(header.magic, magic, sizeof header.magic);
	return header;
}

void ledger_format(struct record *slots)
{
	*header_of(slots) = make_header(0);
	slots[LEDGER_REDO] = (struct record){ 0 };
}

size_t ledger_free_area(const struct record *slots, size_t n)
{
	uint64_t area = const_header_of(slots)->area;

	if (length_of(area) == 0 || LEDGER_FIRST + n <= first_of(area))
		return LEDGER_FIRST;
	return first_of(area) + length_of(area);
}

void ledger_commit(struct record *slots, size_t first, size_t n)
{
	atomic_signal_fence(memory_order_seq_cst);
	*(volatile uint64_t *)&header_of(slots)->area = make_area(first, n);
	atomic_signal_fence(memory_order_seq_cst);
}

void ledger_put(struct record *slots, struct record *to, struct record *record)
{
	record_seal(record);
	slots[LEDGER_REDO] = *record;
	atomic_signal_fence(memory_order_seq_cst);
	*to = *record;
	atomic_signal_fence(memory_order_seq_cst);
}

static uint64_t sum_of(const struct record *slots, size_t n)
{
	struct header header = *const_header_of(slots);

	header.sum = 0;
	return hash_bytes(slots + 1, (n - 1) * RECORD_SIZE, hash_bytes(&header, sizeof header, 0));
}

struct record *ledger_pack(const struct record *slots, usec_t now, usec_t real, size_t *ret_bytes)
{
	uint64_t area = const_header_of(slots)->area;
	const struct record *from = slots + first_of(area);
	struct record *packed = calloc(LEDGER_FIRST + length_of(area), RECORD_SIZE);
	size_t n = LEDGER_FIRST;

	if (!packed)
		return NULL;
	for (size_t i = 0; i < length_of(area); i++)
		if (record_is_whole(&from[i]))
			packed[n++] = from[i];
	*header_of(packed) = make_header(make_area(LEDGER_FIRST, n - LEDGER_FIRST));
	header_of(packed)->saved_at = now;
	header_of(packed)->saved_real = real;
	header_of(packed)->sum = sum_of(packed, n);
	*ret_bytes = n * RECORD_SIZE;
	return packed;
}

/* ---- reading ---- */

/* Why these are not the bytes of a ledger; NULL when they are. */
static const char *judge(const struct record *slots, size_t len, enum ledger_source source)
{
	const struct header *header = const_header_of(slots);
	size_t n = len / RECORD_SIZE;

	if (len < LEDGER_FIRST * RECORD_SIZE)
		return "it is cut short";
	if (memcmp(header->magic, magic, sizeof magic) != 0)
		return "it does not hold states";
	if (header->version != RECORD_VERSION || header->record_size != RECORD_SIZE)
		return "another version of modelhealthd wrote it";
	if (n > LEDGER_MAX_SLOTS)
		return "it is too large";
	if (source == LEDGER_FILE && (len % RECORD_SIZE != 0 || header->sum != sum_of(slots, n)))
		return "its sum is wrong";
	if (length_of(header->area) > 0 &&
		(first_of(header->area) < LEDGER_FIRST || first_of(header->area) > n ||
			length_of(header->area) > n - first_of(header->area)))
		return "it is cut short";
	return NULL;
}

static int compare_keys(const void *a, const void *b)
{
	const struct record *left = a;
	const struct record *right = b;

	return (left->key > right->key) - (left->key < right->key);
}

static bool is_empty(const struct record *record)
{
	static const struct record empty;

	return memcmp(record, &empty, sizeof empty) == 0;
}

/* The last record takes the place of the one that it was to replace. */
static void redo(struct ledger_image *image, const struct record *last)
{
	struct record *found = NULL;

	if (!record_is_whole(last))
		return;
	for (size_t i = 0; i < image->n; i++)
		if (image->records[i].key == last->key)
			found = &image->records[i];
	if (!found) {
		found = &image->records[image->n++];
		image->n_broken -= image->n_broken > 0 ? 1 : 0;
	}
	*found = *last;
}

/* Of records with the same key only one is kept, whichever. */
static void make_unique(struct ledger_image *image)
{
	size_t n = 0;

	for (size_t i = 0; i < image->n; i++)
		if (n == 0 || image->records[n - 1].key != image->records[i].key)
			image->records[n++] = image->records[i];
	image->n_broken += image->n - n;
	image->n = n;
}

static void set_clock(struct ledger_image *image, const struct header *header,
	enum ledger_source source, usec_t now, usec_t real)
{
	usec_t elapsed = real > header->saved_real ? real - header->saved_real : 0;

	image->then = source == LEDGER_FILE ? header->saved_at : now;
	image->now = now;
	if (source == LEDGER_FILE)
		image->now -= min_of(min_of(elapsed, max_elapsed), now - 1);
}

int ledger_read(const void *bytes, size_t len, enum ledger_source source, usec_t now, usec_t real,
	struct ledger_image *ret_image, const char **ret_problem)
{
	const struct record *slots = bytes;
	const char *problem = judge(slots, len, source);
	const struct record *from;
	struct header header;
	size_t n;

	*ret_image = (struct ledger_image){ .then = now, .now = now };
	if (problem) {
		*ret_problem = problem;
		return -EBADMSG;
	}
	header = *const_header_of(slots);
	n = length_of(header.area);
	from = slots + first_of(header.area);
	ret_image->records = calloc(n + 1, sizeof(struct record));
	if (!ret_image->records)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (record_is_whole(&from[i]))
			ret_image->records[ret_image->n++] = from[i];
		else if (!is_empty(&from[i]))
			ret_image->n_broken++;
	}
	if (n > 0)
		redo(ret_image, &slots[LEDGER_REDO]);
	qsort(ret_image->records, ret_image->n, sizeof(struct record), compare_keys);
	make_unique(ret_image);
	set_clock(ret_image, &header, source, now, real);
	return 0;
}

void ledger_image_fini(struct ledger_image *image)
{
	free(image->records);
	*image = (struct ledger_image){ 0 };
}

const struct record *ledger_find(const struct ledger_image *image, uint64_t key)
{
	const struct record wanted = { .key = key };

	return image->n == 0
		       ? NULL
		       : bsearch(&wanted, image->records, image->n, sizeof wanted, compare_keys);
}

usec_t ledger_time(const struct ledger_image *image, const struct record *record)
{
	usec_t before = image->then > record->at ? image->then - record->at : 0;

	return image->now > before ? image->now - before : 1;
}

usec_t ledger_age(const struct ledger_image *image, usec_t now)
{
	usec_t newest = 0;

	for (size_t i = 0; i < image->n; i++)
		newest = max_of(newest, ledger_time(image, &image->records[i]));
	return image->n > 0 && now > newest ? now - newest : 0;
}
