/* SPDX-License-Identifier: MIT */
/*
 * Randomness that can be replayed: the engine owns one generator, seeded once, and everybody draws
 * from it.
 */
#include "modelhealth/base/rand.h"

#include <string.h>

/* splitmix64 by Sebastiano Vigna: spreads any seed over all bits. */
static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void rand_seed(struct rand *rand, uint64_t seed)
{
	for (size_t i = 0; i < array_size(rand->state); i++)
		rand->state[i] = splitmix(&seed);
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
	return (value << bits) | (value >> (64 - bits));
}

uint64_t rand_next(struct rand *rand)
{
	uint64_t *s = rand->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

/* Lemire's multiplication; its bias is below 2^-32 for the bounds that occur here. */
uint64_t rand_below(struct rand *rand, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)rand_next(rand) * bound) >> 64);
}

/* FNV-1a over the bytes, then the finaliser of splitmix64, because FNV alone leaves the upper bits
 * of short texts alike. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
	const uint8_t *bytes = data;
	uint64_t hash = 0xcbf29ce484222325ull ^ seed;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return splitmix(&hash);
}

uint64_t hash_text(const char *text)
{
	return hash_bytes(text, strlen(text), 0);
}
