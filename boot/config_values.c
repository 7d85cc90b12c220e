/*
 * The keys of bulkhead.cfg and how their values are read: two tables, and one reader for each kind of value.
 */
#include "boot/config_parser.h"

#define MEMORY_UNIT   4096u
#define MEMORY_LOW    (1ull << 20)
#define MEMORY_HIGH   (1ull << 40)
#define PORT_LOW      0x100u  /* below are the chipset's own devices */
#define PORT_HIGH     0xFFF8u /* a 16550 has eight ports */
#define RESTARTS_HIGH 1000000u

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct word modes[] = {{"full", MODE_FULL}, {"para", MODE_PARA}, {NULL, 0}};
static const struct word fault_policies[] = {
	{"stop", ON_FAULT_STOP}, {"restart", ON_FAULT_RESTART}, {NULL, 0}};
static const struct word virtual_apics[] = {
	{"auto", VIRTUAL_APIC_AUTO}, {"yes", VIRTUAL_APIC_YES}, {"no", VIRTUAL_APIC_NO}, {NULL, 0}};
static const struct word yes_or_no[] = {{"yes", true}, {"no", false}, {NULL, 0}};
static const struct word log_levels[] = {
	{"error", LOG_ERROR}, {"warn", LOG_WARN}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}, {NULL, 0}};

static const struct word features[] = {{"large_pages", WITHOUT_LARGE_PAGES},
				       {"tagged_tlb", WITHOUT_TAGGED_TLB},
				       {"preemption_timer", WITHOUT_PREEMPTION_TIMER},
				       {NULL, 0}};

#define CONSOLE_SERIAL (1u << 0)
#define CONSOLE_SCREEN (1u << 1)
static const struct word consoles[] = {{"serial", CONSOLE_SERIAL}, {"screen", CONSOLE_SCREEN}, {NULL, 0}};

enum partition_key {
	KEY_MODE,
	KEY_CPUS,
	KEY_PIN,
	KEY_MEMORY,
	KEY_IMAGE,
	KEY_KERNEL,
	KEY_SHA256,
	KEY_INITRD,
	KEY_INITRD_SHA256,
	KEY_CMDLINE,
	KEY_ON_FAULT,
	KEY_MAX_RESTARTS,
	KEY_AUTOSTART,
	KEY_HYPERVISOR_LEAF,
	KEY_MANAGE,
	KEY_COUNT
};

_Static_assert(KEY_COUNT < CONFIG_KEYS_MAX, "struct slot has a place for each key");

static void *field(struct parser *parser, const struct key *key)
{
	return (char *)parser->target + key->offset;
}

/* Stores the low bytes of `value`: the machine is little-endian, whatever the size of the field. */
static void store(struct parser *parser, const struct key *key, uint64_t value)
{
	uint8_t *bytes = field(parser, key);

	for (size_t i = 0; i < key->size; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

static const char *word_at(const void *list, size_t index)
{
	return ((const struct word *)list)[index].text;
}

static const struct word *find_word(const struct word *words, struct span value)
{
	for (; words->text != NULL; words++)
		if (span_equals(value, words->text))
			return words;
	return NULL;
}

static void expected_one_of(struct parser *parser, struct span value, const struct word *words)
{
	char choices[CONFIG_MESSAGE_SIZE];

	config_mistake(parser, value.start, "found '%.*s', expected one of: %s", SPAN_ARGS(value),
		       config_join(choices, sizeof(choices), word_at, words));
}

static void read_word(struct parser *parser, const struct key *key, struct span value)
{
	const struct word *word = find_word(key->words, value);

	if (word == NULL)
		expected_one_of(parser, value, key->words);
	else
		store(parser, key, word->value);
}

enum number_flaw { NUMBER_FINE, NUMBER_NONE, NUMBER_TOO_BIG };

/* Decimal, or hexadecimal after 0x. The whole span must be the number. */
static enum number_flaw to_number(struct span span, uint64_t *number)
{
	bool hexadecimal = span.size > 2 && span.start[0] == '0' && text_lower(span.start[1]) == 'x';
	int base = hexadecimal ? 16 : 10;
	enum number_flaw flaw = NUMBER_FINE;

	if (hexadecimal)
		span = span_from(span, 2);
	if (span.size == 0)
		return NUMBER_NONE;

	*number = 0;
	for (size_t i = 0; i < span.size; i++) {
		int digit = text_hex_digit(span.start[i]);

		if (digit < 0 || digit >= base)
			return NUMBER_NONE;
		if (__builtin_mul_overflow(*number, (uint64_t)base, number) ||
		    __builtin_add_overflow(*number, (uint64_t)digit, number))
			flaw = NUMBER_TOO_BIG;
	}
	return flaw;
}

static void read_number(struct parser *parser, const struct key *key, struct span value)
{
	uint64_t number;
	enum number_flaw flaw = to_number(value, &number);

	if (flaw == NUMBER_NONE)
		config_mistake(parser, value.start,
			       "found '%.*s', expected a number (hexadecimal begins with 0x)",
			       SPAN_ARGS(value));
	else if (flaw == NUMBER_TOO_BIG || number < key->low || number > key->high)
		config_mistake(parser, value.start, "found %.*s, expected a number from %lu to %lu",
			       SPAN_ARGS(value), key->low, key->high);
	else
		store(parser, key, number);
}

static void read_port(struct parser *parser, const struct key *key, struct span value)
{
	uint64_t number;
	enum number_flaw flaw = to_number(value, &number);

	if (flaw == NUMBER_NONE)
		config_mistake(parser, value.start, "found '%.*s', expected an I/O port such as 0x3f8",
			       SPAN_ARGS(value));
	else if (flaw == NUMBER_TOO_BIG || number < key->low || number > key->high)
		config_mistake(parser, value.start, "found %.*s, expected an I/O port from 0x%lx to 0x%lx",
			       SPAN_ARGS(value), key->low, key->high);
	else
		store(parser, key, number);
}

/* Takes a K, M or G off the end of `value`: the power of two it stands for. */
static uint32_t take_unit(struct span *value)
{
	static const struct word units[] = {{"k", 10}, {"m", 20}, {"g", 30}, {NULL, 0}};

	if (value->size == 0)
		return 0;
	for (const struct word *unit = units; unit->text != NULL; unit++) {
		if (text_lower(value->start[value->size - 1]) == unit->text[0]) {
			value->size--;
			return unit->value;
		}
	}
	return 0;
}

static void read_memory(struct parser *parser, const struct key *key, struct span value)
{
	struct span digits = value;
	uint32_t shift = take_unit(&digits);
	uint64_t number;
	enum number_flaw flaw = to_number(digits, &number);

	if (flaw == NUMBER_NONE)
		config_mistake(parser, value.start,
			       "found '%.*s', expected bytes with an optional K, M or G, such as 64M",
			       SPAN_ARGS(value));
	else if (flaw == NUMBER_TOO_BIG || number > key->high >> shift || number << shift < key->low)
		config_mistake(parser, value.start, "found %.*s, expected memory from %luM to %luG",
			       SPAN_ARGS(value), key->low >> 20, key->high >> 30);
	else if ((number << shift) % MEMORY_UNIT != 0)
		config_mistake(parser, value.start, "found %.*s, expected a multiple of %uK",
			       SPAN_ARGS(value), MEMORY_UNIT >> 10);
	else
		store(parser, key, number << shift);
}

/* Copies a text that fits its field, and closes it with a NUL. */
static void read_text(struct parser *parser, const struct key *key, struct span value)
{
	char *out = field(parser, key);

	if (value.size >= key->size) {
		config_mistake(parser, value.start, "found %lu bytes, expected at most %lu", value.size,
			       key->size - 1);
		return;
	}
	for (size_t i = 0; i < value.size; i++)
		out[i] = value.start[i];
	out[value.size] = '\0';
}

static bool is_path_character(char character)
{
	static const struct span forbidden = {":*?\"<>|", 7};

	return character >= ' ' && character <= '~' && span_find(forbidden, character) == forbidden.size;
}

/* A path on the boot volume. Slashes of both kinds are understood; the firmware wants backslashes. */
static void read_path(struct parser *parser, const struct key *key, struct span value)
{
	char *path = field(parser, key);

	if (value.size < 2 || (value.start[0] != '\\' && value.start[0] != '/')) {
		config_mistake(parser, value.start,
			       "found '%.*s', expected a path from the root of the boot volume, such as "
			       "\\guests\\full.elf",
			       SPAN_ARGS(value));
		return;
	}
	for (size_t i = 0; i < value.size; i++) {
		if (!is_path_character(value.start[i])) {
			config_mistake(parser, value.start + i,
				       "this character cannot stand in a path, expected plain ASCII without "
				       ": * ? \" < > |");
			return;
		}
	}

	read_text(parser, key, value);
	for (; value.size < key->size && *path != '\0'; path++)
		if (*path == '/')
			*path = '\\';
}

/* An image or a kernel: what the partition is started with is one file. */
static void read_image(struct parser *parser, const struct key *key, struct span value)
{
	parser->partition->is_kernel = key == &config_partition_keys[KEY_KERNEL];
	read_path(parser, key, value);
}

static void read_hash(struct parser *parser, const struct key *key, struct span value)
{
	uint8_t *hash = field(parser, key);
	bool *has_hash = key == &config_partition_keys[KEY_SHA256] ? &parser->partition->has_sha256
								   : &parser->partition->has_initrd_sha256;

	for (size_t i = 0; i < value.size; i++) {
		if (text_hex_digit(value.start[i]) < 0) {
			config_mistake(parser, value.start + i, "found '%.*s', expected a hexadecimal digit",
				       SPAN_ARGS(span_from(value, i)));
			return;
		}
	}
	if (value.size != 2 * CONFIG_SHA256_SIZE) {
		config_mistake(parser, value.start, "found %lu digits, expected %u hexadecimal digits",
			       value.size, 2 * CONFIG_SHA256_SIZE);
		return;
	}
	for (size_t i = 0; i < CONFIG_SHA256_SIZE; i++)
		hash[i] = (uint8_t)(text_hex_digit(value.start[2 * i]) << 4 |
				    text_hex_digit(value.start[2 * i + 1]));
	*has_hash = true;
}

/* Takes the next item off a comma list. False at the end; an empty item is an item. */
static bool take_item(struct span *list, struct span *item)
{
	if (list->start == NULL)
		return false;

	size_t comma = span_find(*list, ',');

	*item = span_trim(span_first(*list, comma));
	*list = comma < list->size ? span_from(*list, comma + 1) : (struct span){NULL, 0};
	return true;
}

/* A comma list of words that are bits. */
static uint32_t to_set(struct parser *parser, const struct word *words, struct span value)
{
	uint32_t chosen = 0;
	struct span item;

	while (take_item(&value, &item)) {
		const struct word *word = find_word(words, item);

		if (word == NULL)
			expected_one_of(parser, item, words);
		else if (chosen & word->value)
			config_mistake(parser, item.start, "'%s' is listed twice", word->text);
		else
			chosen |= (uint32_t)word->value;
	}
	return chosen;
}

static void read_consoles(struct parser *parser, const struct key *key, struct span value)
{
	const uint32_t chosen = to_set(parser, consoles, value);

	(void)key;
	parser->config->console_serial = chosen & CONSOLE_SERIAL;
	parser->config->console_screen = chosen & CONSOLE_SCREEN;
}

static void read_features(struct parser *parser, const struct key *key, struct span value)
{
	(void)key;
	parser->config->without = to_set(parser, features, value);
}

/* The partition before the current one that pins `cpu` too; NULL when there is none. */
static const struct partition_config *find_owner(const struct parser *parser, uint64_t cpu)
{
	for (uint32_t i = 0; i < parser->config->partition_count; i++) {
		const struct partition_config *other = &parser->config->partition[i];

		if (other == parser->partition)
			break;
		for (uint32_t p = 0; p < other->pinned; p++)
			if (other->pin[p] == cpu)
				return other;
	}
	return NULL;
}

static bool is_pinned(const struct partition_config *partition, uint64_t cpu)
{
	for (uint32_t i = 0; i < partition->pinned; i++)
		if (partition->pin[i] == cpu)
			return true;
	return false;
}

static void read_pin(struct parser *parser, struct span item)
{
	struct partition_config *partition = parser->partition;
	const struct partition_config *owner;
	uint64_t cpu;

	if (to_number(item, &cpu) != NUMBER_FINE || cpu >= CONFIG_MAX_CPUS) {
		config_mistake(parser, item.start, "found '%.*s', expected the index of a CPU, 0 to %u",
			       SPAN_ARGS(item), CONFIG_MAX_CPUS - 1);
		return;
	}
	if (is_pinned(partition, cpu)) {
		config_mistake(parser, item.start, "CPU %lu is listed twice", cpu);
		return;
	}
	owner = find_owner(parser, cpu);
	if (owner != NULL)
		config_mistake(parser, item.start, "CPU %lu is pinned by partition '%s' (line %u) already",
			       cpu, owner->name, owner->line);
	/* Cannot overflow: there are no more than CONFIG_MAX_CPUS different indexes. */
	partition->pin[partition->pinned++] = (uint32_t)cpu;
}

static void read_pins(struct parser *parser, const struct key *key, struct span value)
{
	struct partition_config *partition = parser->partition;
	struct span list = value, item;
	uint32_t count = 0;

	(void)key;
	partition->pinned = 0;
	while (take_item(&list, &item)) {
		read_pin(parser, item);
		count++;
	}
	if (count != partition->cpus && (parser->slot->flawed_keys & 1u << KEY_CPUS) == 0)
		config_mistake(parser, value.start, "found %u CPUs, expected %u: as many as 'cpus' says",
			       count, partition->cpus);
}

/*
 * Channels
 */

static const struct word rights[] = {
	{"message", CHANNEL_MESSAGE}, {"notify", CHANNEL_NOTIFY}, {"share", CHANNEL_SHARE}, {NULL, 0}};

static void read_rights(struct parser *parser, const struct key *key, struct span value)
{
	(void)key;
	parser->channel->allow = to_set(parser, rights, value);
}

bool config_is_full(const struct partition_config *partition, const struct slot *slot)
{
	return partition->mode == MODE_FULL && slot->seen_line[KEY_MODE] != 0 &&
	       (slot->flawed_keys & 1u << KEY_MODE) == 0;
}

/* Its index; CONFIG_MAX_PARTITIONS, with a mistake, unless it is a para partition. */
static uint32_t find_partition(struct parser *parser, struct span name)
{
	const struct config *config = parser->config;

	for (uint32_t i = 0; i < config->partition_count; i++) {
		if (!span_equals(name, config->partition[i].name))
			continue;
		if (!config_is_full(&config->partition[i], &parser->slots[SLOT_PARTITION + i]))
			return i;
		config_mistake(parser, name.start,
			       "partition '%s' is full, expected one of mode = para: channels are for those",
			       config->partition[i].name);
		return CONFIG_MAX_PARTITIONS;
	}
	config_mistake(parser, name.start, "found '%.*s', expected the name of a partition", SPAN_ARGS(name));
	return CONFIG_MAX_PARTITIONS;
}

/* The channel before this one that joins the same two; NULL: none. */
static const struct channel_config *find_channel(const struct parser *parser)
{
	const uint32_t *wanted = parser->channel->between;

	for (uint32_t i = 0; i < parser->config->channel_count; i++) {
		const struct channel_config *other = &parser->config->channel[i];

		if (other == parser->channel)
			break;
		if ((other->between[0] == wanted[0] && other->between[1] == wanted[1]) ||
		    (other->between[0] == wanted[1] && other->between[1] == wanted[0]))
			return other;
	}
	return NULL;
}

static void check_pair(struct parser *parser, struct span value)
{
	const uint32_t *pair = parser->channel->between;
	const struct channel_config *other = find_channel(parser);

	if (pair[0] == CONFIG_MAX_PARTITIONS || pair[1] == CONFIG_MAX_PARTITIONS)
		return;
	if (pair[0] == pair[1])
		config_mistake(parser, value.start, "found '%s' twice, expected two different partitions",
			       parser->config->partition[pair[0]].name);
	else if (other != NULL)
		config_mistake(parser, value.start, "channel '%s' (line %u) joins these two already",
			       other->name, other->line);
}

static void read_pair(struct parser *parser, const struct key *key, struct span value)
{
	uint32_t *pair = parser->channel->between, count = 0;
	struct span list = value, item;

	(void)key;
	pair[0] = pair[1] = CONFIG_MAX_PARTITIONS;
	for (; take_item(&list, &item); count++)
		if (count < ARRAY_LENGTH(parser->channel->between))
			pair[count] = find_partition(parser, item);
	if (count != ARRAY_LENGTH(parser->channel->between))
		config_mistake(parser, value.start, "found %u partition%s, expected two", count,
			       count == 1 ? "" : "s");
	else
		check_pair(parser, value);
}

#define FIELD(type, member)   .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define OF_HYPERVISOR(member) FIELD(struct config, member)
#define OF_PARTITION(member)  FIELD(struct partition_config, member)

const struct key config_hypervisor_keys[] = {
	{.name = "console", .read = read_consoles},
	{.name = "serial_port",
	 .read = read_port,
	 OF_HYPERVISOR(serial_port),
	 .low = PORT_LOW,
	 .high = PORT_HIGH},
	{.name = "log", .read = read_word, OF_HYPERVISOR(log), .words = log_levels},
	{.name = "poweroff", .read = read_word, OF_HYPERVISOR(poweroff_when_done), .words = yes_or_no},
	{.name = "virtual_apic", .read = read_word, OF_HYPERVISOR(virtual_apic), .words = virtual_apics},
	{.name = "without", .read = read_features},
	{.name = NULL},
};

const struct key config_partition_keys[] = {
	[KEY_MODE] =
		{.name = "mode", .read = read_word, OF_PARTITION(mode), .words = modes, .required = true},
	[KEY_CPUS] =
		{.name = "cpus", .read = read_number, OF_PARTITION(cpus), .low = 1, .high = CONFIG_MAX_CPUS},
	[KEY_PIN] = {.name = "pin", .read = read_pins},
	[KEY_MEMORY] = {.name = "memory",
			.read = read_memory,
			OF_PARTITION(memory),
			.low = MEMORY_LOW,
			.high = MEMORY_HIGH,
			.required = true},
	[KEY_IMAGE] = {.name = "image",
		       .read = read_image,
		       OF_PARTITION(image),
		       .required = true,
		       .instead = "kernel"},
	[KEY_KERNEL] = {.name = "kernel",
			.read = read_image,
			OF_PARTITION(image),
			.instead = "image",
			.full_only = true},
	[KEY_SHA256] = {.name = "sha256", .read = read_hash, OF_PARTITION(sha256)},
	[KEY_INITRD] = {.name = "initrd",
			.read = read_path,
			OF_PARTITION(initrd),
			.needs = "kernel",
			.full_only = true},
	[KEY_INITRD_SHA256] = {.name = "initrd_sha256",
			       .read = read_hash,
			       OF_PARTITION(initrd_sha256),
			       .needs = "initrd",
			       .full_only = true},
	[KEY_CMDLINE] = {.name = "cmdline", .read = read_text, OF_PARTITION(cmdline)},
	[KEY_ON_FAULT] = {.name = "on_fault",
			  .read = read_word,
			  OF_PARTITION(on_fault),
			  .words = fault_policies},
	[KEY_MAX_RESTARTS] = {.name = "max_restarts",
			      .read = read_number,
			      OF_PARTITION(max_restarts),
			      .high = RESTARTS_HIGH},
	[KEY_AUTOSTART] = {.name = "autostart",
			   .read = read_word,
			   OF_PARTITION(autostart),
			   .words = yes_or_no},
	[KEY_HYPERVISOR_LEAF] = {.name = "hypervisor_leaf",
				 .read = read_word,
				 OF_PARTITION(hypervisor_leaf),
				 .words = yes_or_no,
				 .full_only = true},
	[KEY_MANAGE] = {.name = "manage",
			.read = read_word,
			OF_PARTITION(manage),
			.words = yes_or_no,
			.para_only = true},
	[KEY_COUNT] = {.name = NULL},
};

const struct key config_channel_keys[] = {
	{.name = "between", .read = read_pair, .required = true},
	{.name = "allow", .read = read_rights, .required = true},
	{.name = NULL},
};
