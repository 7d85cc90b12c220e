/*
 * A workload divided over the partition's CPUs: the Mandelbrot set in fixed point, drawn twice, first by vCPU
 * 0 alone, then by all of them, where each takes the next row that nobody has taken. The two pictures must be
 * alike; one is shown, and what either took.
 */
#include <bulkhead.h>

#define COLUMNS	  72
#define LINES	  20
#define DEPTH	  2000 /* iterations at most */
#define DONE	  1u   /* event: a CPU has found no more rows */
#define SHIFT	  28   /* fixed point: 1.0 is 2^28 */
#define ONE	  (1ll << SHIFT)
#define NS_PER_US 1000u

static uint16_t alone[LINES][COLUMNS], together[LINES][COLUMNS];
static uint16_t (*picture)[COLUMNS] = alone;
static uint32_t next_row, finished;

/* Of z = z * z + c from 0: how many steps until |z| > 2. */
static uint16_t depth_at(int64_t x, int64_t y)
{
	int64_t re = 0, im = 0;
	uint16_t depth = 0;
	for (; depth < DEPTH; depth++) {
		const int64_t re2 = re * re >> SHIFT, im2 = im * im >> SHIFT;
		if (re2 + im2 > 4 * ONE)
			break;
		im = (re * im >> (SHIFT - 1)) + y;
		re = re2 - im2 + x;
	}
	return depth;
}

/* Columns from -2.2 to 0.8, lines from -1.2 to 1.2. */
static void draw_rows(void)
{
	uint32_t row;
	while ((row = __atomic_fetch_add(&next_row, 1, __ATOMIC_RELAXED)) < LINES)
		for (int column = 0; column < COLUMNS; column++)
			picture[row][column] = depth_at(-11 * ONE / 5 + column * 3 * ONE / COLUMNS,
							-6 * ONE / 5 + row * 12 * ONE / 5 / LINES);
}

static void help_drawing(void *unused)
{
	(void)unused;
	draw_rows();
	__atomic_add_fetch(&finished, 1, __ATOMIC_RELEASE);
	(void)bh_ipi(0, DONE); /* vCPU 0 is on: it waits for this */
}

/* Nanoseconds it took. */
static uint64_t draw_with(uint32_t helpers)
{
	const uint64_t start = bh_time_ns();
	next_row = finished = 0;
	for (uint32_t cpu = 1; cpu <= helpers; cpu++)
		if (bh_cpu_on(cpu, help_drawing, NULL) < 0)
			bh_printf("parallel: cpu %u did not start\n", cpu);
	draw_rows();
	while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) < helpers)
		bh_wait_for(DONE);
	return bh_time_ns() - start;
}

static uint32_t show_and_compare(void)
{
	static const char shade[] = " .:-=+*%@#";
	uint32_t different = 0;
	for (int row = 0; row < LINES; row++) {
		char line[COLUMNS + 1] = {0};
		for (int column = 0; column < COLUMNS; column++) {
			const uint32_t depth = together[row][column];
			line[column] = shade[depth < DEPTH ? depth % 9 : 9];
			different += alone[row][column] != depth;
		}
		bh_printf("%s\n", line);
	}
	return different;
}

void bh_main(const struct bh_start *start)
{
	const uint32_t cpus = start->vcpu_count < BH_MAX_CPUS ? start->vcpu_count : BH_MAX_CPUS;
	const uint64_t first = draw_with(0);
	picture = together;
	const uint64_t second = draw_with(cpus - 1);
	const uint32_t different = show_and_compare();
	bh_printf("parallel: 1 CPU %lu us, %u CPUs %lu us, %u cells differ\n", first / NS_PER_US, cpus,
		  second / NS_PER_US, different);
}
