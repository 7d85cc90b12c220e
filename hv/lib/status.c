/*
 * The names of errors.
 */
#include "hv/lib/status.h"

const char *status_name(enum status status)
{
#define STATUS_TEXT(name, text) [name] = text,
	static const char *const names[] = {STATUS_LIST(STATUS_TEXT)};
#undef STATUS_TEXT
	size_t index = (size_t)status;

	return index < ARRAY_SIZE(names) ? names[index] : "unknown status";
}
