/* SPDX-License-Identifier: MIT */
/*
 * A load of the configuration, shared by its files:
 *   conffile_expand.c    ${env:}, ${file:} and ${credential:} in the scalars of a tree
 *   conffile_profiles.c  the profiles of the binary and of the operator
 *   conffile.c           files and what they include, and the load as a whole
 */
#pragma once

#include "modelhealth/core/conffill.h"
#include "modelhealth/core/profile.h"
#include "modelhealth/io/conffile.h"

struct list {
	struct node *node; /* in the main file's tree */
	struct node *last;
};

struct conffile_loader {
	struct conf_scope scope; /* for its errors */
	struct arena arena;      /* trees and paths */
	struct node *root;
	struct list groups, endpoints;
	struct profiles profiles;
	unsigned n_files;
	bool is_partial; /* something could not be read */
};

/* ---- conffile_expand.c ---- */

/* Puts what they refer to into every scalar below root, from first to last; what cannot be had is
 * reported and marks its node as bad. 0 or -ENOMEM. */
int conffile_expand(struct conffile_loader *loader, struct node *root);

/* ---- conffile_profiles.c ---- */

/* Lists all profiles and reads those of the operator. 0 or -ENOMEM. */
int conffile_load_profiles(struct conffile_loader *loader, const char *directory);

/* ---- conffile.c ---- */

/* The path, relative to the file that names it. NULL when memory is out. */
const char *conffile_resolve(struct conffile_loader *loader, const char *file, const char *path);

/* Sorts the errors and wipes all trees. */
void conffile_fini(struct conffile_loader *loader);
