/* What ping and pong say to each other in the first word of a direct request. */
#pragma once

#define PONG_OPEN_QUEUE                                                                                      \
	0xFFFFFFFFFFFF0001u /* words 1 and 2: handle, size of the queue's bytes; answers 0 or a code */
#define PONG_CLOSE_QUEUE 0xFFFFFFFFFFFF0002u /* answers 0 or a code, and in word 1 the sum of all bytes */
#define PONG_QUEUE_BIT	 (1ull << 41)	     /* the notification that wakes either end */
#define PONG_ASK_ME	 (1ull << 63)	     /* the notification that has pong send a direct request itself */
