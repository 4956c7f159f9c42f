/* SPDX-License-Identifier: MIT */
/*
 * Only the end of a secret needs code; see secret.h for its box.
 */
#include "modelhealth/base/secret.h"

#include <string.h>

void secret_wipe(struct secret *secret)
{
	if (secret->hidden)
		explicit_bzero(secret->hidden, strlen(secret->hidden));
	secret->hidden = NULL;
}
