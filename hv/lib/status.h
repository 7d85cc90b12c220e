/*
 * Errors are values. Every function that can fail returns one of these, and messages print its name.
 */
#pragma once

#include "hv/lib/types.h"

#define STATUS_LIST(X)                                                                                       \
	X(OK, "ok")                                                                                          \
	X(ERR_NO_MEMORY, "out of memory")                                                                    \
	X(ERR_INVALID, "invalid argument")                                                                   \
	X(ERR_RANGE, "out of range")                                                                         \
	X(ERR_OWNER, "owned by another")                                                                     \
	X(ERR_EXISTS, "exists already")                                                                      \
	X(ERR_NOT_FOUND, "not found")                                                                        \
	X(ERR_FULL, "table is full")                                                                         \
	X(ERR_BUSY, "busy")                                                                                  \
	X(ERR_DENIED, "denied")                                                                              \
	X(ERR_UNSUPPORTED, "not supported by this machine")                                                  \
	X(ERR_FORMAT, "malformed")                                                                           \
	X(ERR_TIMEOUT, "timed out")

#define STATUS_ENUM(name, text) name,
enum status { STATUS_LIST(STATUS_ENUM) };
#undef STATUS_ENUM

/* Never NULL; "unknown status" for anything not in the list. */
const char *status_name(enum status status);
