/* SPDX-License-Identifier: MIT */
/*
 * A thin layer over sd_listen_fds_with_names(3): every descriptor has one owner. The app opens it;
 * the status port takes sockets, io/keeper takes the memory of states.
 */
#include "modelhealth/io/inherited.h"

#include <systemd/sd-daemon.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void inherited_open(struct inherited *inherited)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	*inherited = (struct inherited){ 0 };
	for (int i = 0; i < n; i++) {
		struct inherited_fd given = { SD_LISTEN_FDS_START + i, names[i] };

		if (inherited->n < INHERITED_MAX) {
			inherited->item[inherited->n++] = given;
			continue;
		}
		closep(&given.fd);
		free(given.name);
	}
	free(names);
}

static int take(struct inherited_fd *item)
{
	int fd = item->fd;

	item->fd = -1;
	return fd;
}

int inherited_take(struct inherited *inherited, const char *name)
{
	for (size_t i = 0; i < inherited->n; i++) {
		struct inherited_fd *item = &inherited->item[i];

		if (item->fd >= 0 && strcmp(item->name, name) == 0)
			return take(item);
	}
	return -1;
}

int inherited_take_listener(struct inherited *inherited)
{
	for (size_t i = 0; i < inherited->n; i++) {
		struct inherited_fd *item = &inherited->item[i];

		if (item->fd >= 0 && sd_is_socket(item->fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
			return take(item);
	}
	return -1;
}

void inherited_close(struct inherited *inherited)
{
	for (size_t i = 0; i < inherited->n; i++) {
		closep(&inherited->item[i].fd);
		free(inherited->item[i].name);
	}
	*inherited = (struct inherited){ 0 };
}
