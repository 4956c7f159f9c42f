/* SPDX-License-Identifier: MIT */
/*
 * How much libcurl may read before it has to come back. libcurl 7.88 reads on for as long as there is
 * something to read that is neither header nor body, so a server that floods HTTP/2 frames like
 * WINDOW_UPDATE would hold the loop for as long as it likes. Therefore each call gets a ration: once
 * it is eaten up, libcurl finds nothing more to read and returns. The rest waits for the next turn.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	RATION_BYTES = 32 * 1024 /* of the smallest frames some 3 ms of work */
};

/* Around each call of libcurl that may read, on one thread. ration_end tells what was eaten. */
void ration_begin(void);
size_t ration_end(void);
