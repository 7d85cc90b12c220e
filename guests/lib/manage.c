/*
 * Managing other partitions, for one that the config gives `manage = yes`. The register layouts are those of
 * docs/abi.md.
 */
#include "../common/text.h"
#include "internal.h"

_Static_assert(sizeof(((struct bh_partition *)0)->name) == 2 * sizeof(uint64_t),
	       "the name comes in x2 and x3");

static int order(uint32_t function, uint32_t id)
{
	return (int)bh_call(function, id, 0, 0, 0, 0);
}

int bh_manage_count(void)
{
	return order(VENDOR_PARTITION_COUNT, 0);
}

int bh_manage_info(uint32_t id, struct bh_partition *info)
{
	uint64_t x[8] = {VENDOR_PARTITION_INFO, id};
	bh_call_registers(x);
	if ((int)x[0] < 0)
		return (int)x[0];
	*info = (struct bh_partition){.state = (uint8_t)(x[1] & BH_INFO_STATE_MASK),
				      .mode = (uint8_t)(x[1] >> BH_INFO_MODE_SHIFT),
				      .end = (uint8_t)(x[1] >> BH_INFO_END_SHIFT),
				      .refused = x[1] & BH_INFO_REFUSED,
				      .busy = x[1] & BH_INFO_BUSY,
				      .vcpus = (uint16_t)(x[1] >> BH_INFO_VCPUS_SHIFT),
				      .memory = x[4],
				      .run_us = x[5],
				      .restarts = (uint32_t)x[6]};
	memcpy(info->name, &x[2], sizeof(info->name));
	return 0;
}

int bh_manage_exits(uint32_t id, uint32_t class, uint64_t *count, uint64_t *ticks)
{
	uint64_t x[8] = {VENDOR_PARTITION_EXITS, id, class};
	bh_call_registers(x);
	if ((int)x[0] < 0)
		return (int)x[0];
	*count = x[1];
	*ticks = x[2];
	return 0;
}

int bh_manage_start(uint32_t id)
{
	return order(VENDOR_PARTITION_START, id);
}

int bh_manage_stop(uint32_t id)
{
	return order(VENDOR_PARTITION_STOP, id);
}

int bh_manage_reset(uint32_t id)
{
	return order(VENDOR_PARTITION_RESET, id);
}
