// What a hostile driver would try first.

#ifndef NBDEXT_CESCAPE_H
#define NBDEXT_CESCAPE_H

#include <sys/types.h>

/// What is tried, by number from 0; NULL behind the last.
const char *nbdext_escape_name(int number);

/// Tries it. Returns 0 when that went well, which it must not, or an errno.
/// - member: a file of the array; socket: the server's control socket.
int nbdext_escape(int number, const char *member, const char *socket);

/// Runs a program as on a kernel without Landlock. Returns only if that fails.
void nbdext_run_without_landlock(char *const arguments[]);

#endif
