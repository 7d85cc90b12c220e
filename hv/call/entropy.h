/* Random words from the CPU's own generator: what the TRNG calls hand out. */
#pragma once

#include "hv/lib/types.h"

/* Does this CPU have a generator at all? */
bool entropy_present(void);

/* One random word. False: the generator gave none after a bounded number of tries; *word is untouched. */
bool entropy_word(uint64_t *word) MUST_CHECK;
