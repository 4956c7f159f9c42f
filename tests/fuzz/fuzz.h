/* SPDX-License-Identifier: MIT */
/*
 * What a fuzz target defines. libFuzzer calls it with inputs that it invents, replay.c with those
 * of the corpus. A target states rules with must(); breaking one is a finding.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
