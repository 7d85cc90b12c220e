/*
 * The console ring and the memory log. A guest that keeps to the protocol gets every byte through, in order,
 * both ways; one that writes anything at all into the shared page at any time costs the hypervisor a ring's
 * length of work at most, and touches nothing outside its page (the address sanitizer watches). The memory
 * log is held against a plain list of lines.
 *
 * Input: a byte for the kind of guest, then steps.
 */
#include <stdlib.h>
#include <string.h>

#include "hv/call/call.h"
#include "hv/console/log_ring.h"
#include "tests/unit/fake_partition.h"

#define RING_PAGE  (3 * PAGE_SIZE)
#define MODEL_SIZE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bh_console_ring *ring;
static uint8_t next_out, expected_out, next_in, expected_in;

static void require(bool promise)
{
	if (!promise)
		abort();
}

/* All that came out since the last look. An honest guest counts up from 0, over and over. */
static void look_at_console(bool honest)
{
	require(fake.console_length <= 2 * BH_RING_OUT_SIZE);
	for (size_t i = 0; honest && i < fake.console_length; i++)
		require((uint8_t)fake.console[i] == expected_out++);
	fake.console_length = 0;
}

static void guest_writes(uint8_t count)
{
	for (; count > 0 && ring->out_head - ring->out_tail < BH_RING_OUT_SIZE; count--)
		ring->out[ring->out_head++ % BH_RING_OUT_SIZE] = next_out++;
	if (ring->kick_wanted)
		require(fake_call3(0, VENDOR_CONSOLE_KICK, 0, 0, 0) == SMCCC_SUCCESS);
}

static void guest_reads(uint8_t count)
{
	for (; count > 0 && ring->in_tail != ring->in_head; count--)
		require(ring->in[ring->in_tail++ % BH_RING_IN_SIZE] == expected_in++);
}

static void person_types(uint8_t count)
{
	struct input_queue *queue = &fake.partition.input;

	for (; count > 0; count--) {
		uint32_t head = atomic_load(&queue->head);

		if (head - atomic_load(&queue->tail) == INPUT_SIZE)
			return;
		queue->byte[head % INPUT_SIZE] = next_in++;
		atomic_store(&queue->head, head + 1);
	}
}

static void guest_scribbles(uint8_t place, uint8_t value)
{
	uint32_t *const words[] = {&ring->out_head, &ring->out_tail,	&ring->in_head,
				   &ring->in_tail,  &ring->out_waiting, &ring->kick_wanted};

	*words[place % ARRAY_SIZE(words)] += (uint32_t)(int32_t)(int8_t)value << place % 32;
}

static void fuzz_guest(const uint8_t *data, size_t size, bool honest)
{
	fake_create(MODE_PARA);
	next_out = expected_out = next_in = expected_in = 0;
	ring = (struct bh_console_ring *)(fake.memory + RING_PAGE);
	require(fake_call3(0, VENDOR_CONSOLE_RING, RING_PAGE, 0, 0) == SMCCC_SUCCESS);
	for (; size >= 2; size -= 2, data += 2) {
		switch (data[0] % 6) {
		case 0: guest_writes(data[1]); break;
		case 1: vendor_console_poll(&fake.vcpu[0]); break;
		case 2: person_types(data[1]); break;
		case 3: vendor_console_input(&fake.vcpu[0]); break;
		case 4:
			if (honest)
				guest_reads(data[1]);
			break;
		default:
			if (!honest)
				guest_scribbles(data[0] / 6, data[1]);
			break;
		}
		look_at_console(honest);
	}
	vendor_console_settle(&fake.partition);
	look_at_console(honest);
	require(!honest || expected_out == next_out);
	fake_destroy();
}

/*
 * The memory log
 */

static struct log_ring log;
static char text[LOG_RING_SIZE];

/* Lines of one letter each: what is read are the last ones written, whole, and as many as fit. */
static void fuzz_log(const uint8_t *data, size_t size)
{
	static struct {
		char letter;
		size_t length;
	} model[MODEL_SIZE];
	uint64_t position = 0, bytes = 0;
	size_t count = 0, first;
	char line[64];
	int length;

	memset(&log, 0, sizeof(log));
	for (; size >= 2 && count < MODEL_SIZE; size -= 2, data += 2) {
		size_t wanted = (size_t)data[0] * data[1] % sizeof(text);

		model[count].letter = (char)('a' + count % 26);
		model[count].length = MIN(wanted, (size_t)LOG_RING_SIZE / 4);
		memset(text, model[count].letter, wanted);
		log_ring_add(&log, text, wanted);
		count++;
	}
	for (first = count; first > 0 && bytes + model[first - 1].length + 1 <= LOG_RING_SIZE; first--)
		bytes += model[first - 1].length + 1;
	while ((length = log_ring_read(&log, &position, line, sizeof(line))) >= 0) {
		require(first < count);
		require((size_t)length == MIN(model[first].length, sizeof(line)));
		for (int i = 0; i < length; i++)
			require(line[i] == model[first].letter);
		first++;
	}
	require(first == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0: fuzz_guest(data + 1, size - 1, true); break;
	case 1: fuzz_guest(data + 1, size - 1, false); break;
	default: fuzz_log(data + 1, size - 1); break;
	}
	return 0;
}
