/* The smallest useful para guest: says hello, counts five seconds, and ends. */
#include <bulkhead.h>

void bh_main(const struct bh_start *start)
{
	bh_printf("hello from %s: %u CPU, %lu KiB\n", start->name, start->vcpu_count,
		  start->memory_size / 1024);
	for (uint32_t second = 1; second <= 5; second++) {
		bh_deadline(bh_tsc() + start->tsc_khz * 1000ull);
		bh_wait_for(BH_EVENT_TIMER);
		bh_printf("second %u at %lu ms\n", second, bh_time_ns() / 1000000);
	}
	bh_printf("goodbye\n");
}
