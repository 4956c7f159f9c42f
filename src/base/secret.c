/* SPDX-License-Identifier: MIT */
#include "modelhealth/base/secret.h"

#include <string.h>

void secret_wipe(struct secret *secret)
{
	if (secret->hidden)
		explicit_bzero(secret->hidden, strlen(secret->hidden));
	secret->hidden = NULL;
}
