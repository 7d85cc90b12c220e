/*
 * Any bytes at all as bulkhead.cfg: the parser must neither crash nor report a position outside the text, and
 * what it accepts must keep the promises of bulkhead/config.h.
 */
#include <stdlib.h>
#include <string.h>

#include <bulkhead/config.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tally {
	uint32_t reports;
	uint32_t last_line;
};

static void require(bool promise)
{
	if (!promise)
		abort();
}

static void count_report(void *context, uint32_t line, uint32_t column, const char *message)
{
	struct tally *tally = context;

	require(line >= 1 && column >= 1 && message[0] != '\0');
	require(line >= tally->last_line);
	tally->last_line = line;
	tally->reports++;
}

static void require_sound(const struct partition_config *partition)
{
	require(memchr(partition->name, '\0', CONFIG_NAME_SIZE) != NULL && partition->name[0] != '\0');
	require(memchr(partition->image, '\0', CONFIG_PATH_SIZE) != NULL && partition->image[0] == '\\');
	require(memchr(partition->initrd, '\0', CONFIG_PATH_SIZE) != NULL);
	require(partition->initrd[0] == '\0' || (partition->initrd[0] == '\\' && partition->is_kernel));
	require(memchr(partition->cmdline, '\0', CONFIG_CMDLINE_SIZE) != NULL);
	require(partition->cpus >= 1 && partition->cpus <= CONFIG_MAX_CPUS);
	require(partition->pinned == 0 || partition->pinned == partition->cpus);
	require(partition->memory >= 1u << 20 && partition->memory % 4096 == 0);
	require(partition->mode == MODE_FULL || partition->mode == MODE_PARA);
	for (uint32_t i = 0; i < partition->pinned; i++)
		require(partition->pin[i] < CONFIG_MAX_CPUS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tally tally = {0};
	struct config config;
	uint32_t mistakes = config_parse((const char *)data, size, &config, count_report, &tally);

	require(mistakes == tally.reports);
	if (mistakes > 0)
		return 0;
	require(config.partition_count >= 1 && config.partition_count <= CONFIG_MAX_PARTITIONS);
	for (uint32_t i = 0; i < config.partition_count; i++)
		require_sound(&config.partition[i]);
	return 0;
}
