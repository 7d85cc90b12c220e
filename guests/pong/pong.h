/* What ping and pong say to each other in the first word of a direct request. All answer 0 or a code there.
 */
#pragma once

#define PONG_OPEN_QUEUE	 0xFFFFFFFFFFFF0001u /* words 1 and 2: handle, size of the queue's bytes */
#define PONG_CLOSE_QUEUE 0xFFFFFFFFFFFF0002u /* answers the sum of all bytes in word 1 */
#define PONG_TAKE_PAGE	 0xFFFFFFFFFFFF0003u /* word 1: handle of a page that is lent */
#define PONG_GIVE_PAGE	 0xFFFFFFFFFFFF0004u /* every byte of the page is one more */
#define PONG_QUEUE_BIT	 (1ull << 41)	     /* the notification that wakes either end */
#define PONG_ASK_ME	 (1ull << 63)	     /* the notification that has pong send a direct request itself */
