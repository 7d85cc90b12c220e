/*
 * The parser of bulkhead.cfg: lines, sections and keys, and what the sections owe each other. The loader and
 * the host tool compile this same file; the kinds of values are in config_values.c.
 */
#include <stdarg.h>

#include "boot/config_parser.h"
#include "hv/lib/printf.h"

#define DEFAULT_SERIAL_PORT  0x3F8
#define DEFAULT_MAX_RESTARTS 3

/* ---- mistakes ---- */

void config_mistake(struct parser *parser, const char *where, const char *pattern, ...)
{
	char message[CONFIG_MESSAGE_SIZE];
	size_t offset = (size_t)(where - parser->line.start);
	va_list arguments;

	if (parser->learning) {
		if (parser->key_is_read)
			parser->slot->flawed_keys |= 1u << parser->key_index;
		return;
	}
	va_start(arguments, pattern);
	format_v(message, sizeof(message), pattern, arguments);
	va_end(arguments);

	parser->mistakes++;
	parser->report(parser->context, parser->line_number,
		       (uint32_t)text_characters(span_first(parser->line, offset)) + 1, message);
}

const char *config_join(char *out, size_t size, config_name_at *name_at, const void *list)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; name_at(list, i) != NULL && used < size; i++)
		used += format(out + used, size - used, "%s%s", i == 0 ? "" : ", ", name_at(list, i));
	return out;
}

/* ---- sections ---- */

enum kind { KIND_HYPERVISOR, KIND_PARTITION, KIND_CHANNEL, KINDS };
static const struct section_kind kinds[KINDS] = {
	[KIND_HYPERVISOR] = {"hypervisor", "[hypervisor]", config_hypervisor_keys},
	[KIND_PARTITION] = {"partition", "[partition NAME]", config_partition_keys},
	[KIND_CHANNEL] = {"channel", "[channel NAME]", config_channel_keys},
};

static void set_partition_defaults(struct partition_config *partition)
{
	*partition = (struct partition_config){
		.cpus = 1,
		.on_fault = ON_FAULT_STOP,
		.max_restarts = DEFAULT_MAX_RESTARTS,
		.autostart = true,
		.hypervisor_leaf = true,
	};
}

static void enter_section(struct parser *parser, enum kind kind, const char *name, void *target,
			  uint32_t slot)
{
	parser->kind = &kinds[kind];
	parser->keys = kinds[kind].keys;
	parser->name = name;
	parser->target = target;
	parser->partition = kind == KIND_PARTITION ? target : NULL;
	parser->channel = kind == KIND_CHANNEL ? target : NULL;
	parser->slot = &parser->slots[slot];
}

static void skip_section(struct parser *parser)
{
	parser->keys = NULL;
	parser->any_header_flawed = true;
}

/* The line that gives the key `name` of the current section; 0: none. */
static uint32_t line_of(const struct parser *parser, const char *name)
{
	for (size_t i = 0; parser->keys[i].name != NULL; i++)
		if (span_equals(span_of(name), parser->keys[i].name))
			return parser->slot->seen_line[i];
	return 0;
}

static void report_missing_keys(struct parser *parser, const char *where)
{
	for (size_t i = 0; parser->keys[i].name != NULL; i++) {
		const struct key *key = &parser->keys[i];

		if (!key->required || parser->slot->seen_line[i] != 0)
			continue;
		if (key->instead == NULL)
			config_mistake(parser, where, "%s '%s' lacks the key '%s'", parser->kind->name,
				       parser->name, key->name);
		else if (line_of(parser, key->instead) == 0)
			config_mistake(parser, where, "%s '%s' lacks the key '%s' or '%s'",
				       parser->kind->name, parser->name, key->name, key->instead);
	}
}

static void enter_hypervisor(struct parser *parser, struct span name, struct span argument)
{
	if (argument.size > 0)
		config_mistake(parser, argument.start, "found '%.*s', expected ']' after 'hypervisor'",
			       SPAN_ARGS(argument));
	if (parser->hypervisor_line == 0)
		parser->hypervisor_line = parser->line_number;
	if (parser->hypervisor_line != parser->line_number)
		config_mistake(parser, name.start, "a second [hypervisor] section; the first is in line %u",
			       parser->hypervisor_line);
	enter_section(parser, KIND_HYPERVISOR, "hypervisor", parser->config, SLOT_HYPERVISOR);
}

static bool is_name_character(char character)
{
	char lower = text_lower(character);

	return (lower >= 'a' && lower <= 'z') || (character >= '0' && character <= '9') || character == '-' ||
	       character == '_';
}

static bool is_reserved_name(struct span name)
{
	return span_equals(name, "bulkhead") || span_equals(name, "hypervisor");
}

static void check_name(struct parser *parser, enum kind kind, struct span name)
{
	for (size_t i = 0; i < name.size; i++) {
		if (!is_name_character(name.start[i])) {
			config_mistake(parser, name.start + i,
				       "found '%.*s' in a name, expected letters, digits, '-' and '_' only",
				       SPAN_ARGS(span_from(name, i)));
			return;
		}
	}
	if (name.size == 0)
		config_mistake(parser, name.start, "expected a name: %s", kinds[kind].header);
	else if (name.size >= CONFIG_NAME_SIZE)
		config_mistake(parser, name.start, "a name of %lu characters, expected at most %u", name.size,
			       CONFIG_NAME_SIZE - 1);
	else if (is_reserved_name(name))
		config_mistake(parser, name.start, "the name '%.*s' is reserved", SPAN_ARGS(name));
}

static void check_name_is_new(struct parser *parser, struct span name)
{
	for (uint32_t i = 0; i < parser->config->partition_count; i++) {
		const struct partition_config *other = &parser->config->partition[i];

		if (other->line < parser->line_number && span_equals(name, other->name)) {
			config_mistake(parser, name.start, "a second partition '%s'; the first is in line %u",
				       other->name, other->line);
			return;
		}
	}
}

/* Each vCPU has a physical CPU of its own, so the partitions together cannot have more than there can be. */
static void check_cpu_total(struct parser *parser, const char *where)
{
	uint32_t before = 0;

	for (uint32_t i = 0; &parser->config->partition[i] != parser->partition; i++)
		before += parser->config->partition[i].cpus;

	uint32_t total = before + parser->partition->cpus;

	if (before <= CONFIG_MAX_CPUS && total > CONFIG_MAX_CPUS)
		config_mistake(parser, where,
			       "the partitions up to this one want %u CPUs, expected at most %u", total,
			       CONFIG_MAX_CPUS);
}

/* First reading: takes a place for the partition. Second reading: finds the place again. */
static uint32_t partition_index(struct parser *parser)
{
	struct config *config = parser->config;

	for (uint32_t i = 0; i < config->partition_count; i++)
		if (config->partition[i].line == parser->line_number)
			return i;
	if (parser->learning && config->partition_count < CONFIG_MAX_PARTITIONS) {
		set_partition_defaults(&config->partition[config->partition_count]);
		return config->partition_count++;
	}
	return CONFIG_MAX_PARTITIONS;
}

static void copy_name(char to[CONFIG_NAME_SIZE], struct span name)
{
	size_t size = name.size < CONFIG_NAME_SIZE ? name.size : CONFIG_NAME_SIZE - 1;

	for (size_t i = 0; i < size; i++)
		to[i] = name.start[i];
	to[size] = '\0';
}

static void enter_surplus(struct parser *parser, enum kind kind, struct span name, uint32_t most,
			  void *target)
{
	config_mistake(parser, name.start, "%s number %u or higher, expected at most %u %ss",
		       kinds[kind].name, most + 1, most, kinds[kind].name);
	parser->slots[SLOT_SURPLUS] = (struct slot){0};
	enter_section(parser, kind, "", target, SLOT_SURPLUS);
}

static void enter_partition(struct parser *parser, struct span name)
{
	uint32_t index = partition_index(parser);

	check_name(parser, KIND_PARTITION, name);
	check_name_is_new(parser, name);
	if (index == CONFIG_MAX_PARTITIONS) {
		set_partition_defaults(&parser->surplus);
		enter_surplus(parser, KIND_PARTITION, name, CONFIG_MAX_PARTITIONS, &parser->surplus);
		return;
	}

	struct partition_config *partition = &parser->config->partition[index];

	partition->line = parser->line_number;
	copy_name(partition->name, name);
	enter_section(parser, KIND_PARTITION, partition->name, partition, SLOT_PARTITION + index);
	report_missing_keys(parser, name.start);
	check_cpu_total(parser, name.start);
}

/* As partition_index(). */
static uint32_t channel_index(struct parser *parser)
{
	struct config *config = parser->config;

	for (uint32_t i = 0; i < config->channel_count; i++)
		if (config->channel[i].line == parser->line_number)
			return i;
	if (parser->learning && config->channel_count < CONFIG_MAX_CHANNELS)
		return config->channel_count++;
	return CONFIG_MAX_CHANNELS;
}

static void check_channel_is_new(struct parser *parser, struct span name)
{
	for (uint32_t i = 0; i < parser->config->channel_count; i++) {
		const struct channel_config *other = &parser->config->channel[i];

		if (other->line < parser->line_number && span_equals(name, other->name)) {
			config_mistake(parser, name.start, "a second channel '%s'; the first is in line %u",
				       other->name, other->line);
			return;
		}
	}
}

static void enter_channel(struct parser *parser, struct span name)
{
	uint32_t index = channel_index(parser);

	check_name(parser, KIND_CHANNEL, name);
	check_channel_is_new(parser, name);
	if (index == CONFIG_MAX_CHANNELS) {
		enter_surplus(parser, KIND_CHANNEL, name, CONFIG_MAX_CHANNELS, &parser->surplus_channel);
		return;
	}

	struct channel_config *channel = &parser->config->channel[index];

	channel->line = parser->line_number;
	copy_name(channel->name, name);
	enter_section(parser, KIND_CHANNEL, channel->name, channel, SLOT_CHANNEL + index);
	report_missing_keys(parser, name.start);
}

/* ---- lines ---- */

static bool begins_comment(char character)
{
	return character == '#' || character == ';';
}

/* Nothing but blanks and a comment. */
static bool is_empty(struct span span)
{
	span = span_trim(span);
	return span.size == 0 || begins_comment(span.start[0]);
}

/* A section whose kind is misspelt is read as the one that was meant, so that the mistakes in it are found
 * too. */
static enum kind find_kind(struct span word)
{
	enum kind kind = KIND_HYPERVISOR;

	while (kind < KINDS && !text_resembles(word, kinds[kind].name))
		kind++;
	return kind;
}

static void enter_kind(struct parser *parser, struct span word, struct span argument)
{
	enum kind kind = find_kind(word);

	if (kind == KINDS) {
		config_mistake(parser, word.start, "unknown section '%.*s', expected one of: %s, %s, %s",
			       SPAN_ARGS(word), kinds[KIND_HYPERVISOR].header, kinds[KIND_PARTITION].header,
			       kinds[KIND_CHANNEL].header);
		skip_section(parser);
		return;
	}
	if (!span_equals(word, kinds[kind].name))
		config_mistake(parser, word.start, "unknown section '%.*s', did you mean '%s'?",
			       SPAN_ARGS(word), kinds[kind].name);
	if (kind == KIND_PARTITION)
		enter_partition(parser, argument);
	else if (kind == KIND_CHANNEL)
		enter_channel(parser, argument);
	else
		enter_hypervisor(parser, word, argument);
}

static void read_header(struct parser *parser, struct span line)
{
	size_t end = span_find(line, ']');
	struct span inside = span_trim(span_from(span_first(line, end), 1));
	size_t word_size = 0;

	if (end == line.size)
		config_mistake(parser, line.start + line.size,
			       "expected ']' at the end of the section header");
	while (word_size < inside.size && !text_is_blank(inside.start[word_size]))
		word_size++;

	struct span kind = span_first(inside, word_size);
	struct span argument = span_trim(span_from(inside, word_size));

	enter_kind(parser, kind, argument);
	if (end < line.size && !is_empty(span_from(line, end + 1)))
		config_mistake(parser, span_trim(span_from(line, end + 1)).start,
			       "found '%.*s' after the section header, expected the end of the line",
			       SPAN_ARGS(span_trim(span_from(line, end + 1))));
}

static const char *key_at(const void *list, size_t index)
{
	return ((const struct key *)list)[index].name;
}

static const char *find_resembling(const struct key *keys, struct span name)
{
	for (; keys->name != NULL; keys++)
		if (text_resembles(name, keys->name))
			return keys->name;
	return NULL;
}

static bool has_key(const struct key *keys, struct span name)
{
	for (; keys->name != NULL; keys++)
		if (span_equals(name, keys->name))
			return true;
	return false;
}

/* The kind of section that knows the key; NULL: none does. */
static const struct section_kind *kind_of_key(struct span name)
{
	for (size_t i = 0; i < KINDS; i++)
		if (has_key(kinds[i].keys, name))
			return &kinds[i];
	return NULL;
}

static void report_unknown_key(struct parser *parser, struct span name)
{
	const struct section_kind *home = kind_of_key(name);
	const char *meant = find_resembling(parser->keys, name);
	char known[CONFIG_MESSAGE_SIZE];

	if (home != NULL)
		config_mistake(parser, name.start, "the key '%.*s' belongs in a %s section", SPAN_ARGS(name),
			       home->header);
	else if (meant != NULL)
		config_mistake(parser, name.start, "unknown key '%.*s', did you mean '%s'?", SPAN_ARGS(name),
			       meant);
	else
		config_mistake(parser, name.start, "unknown key '%.*s', expected one of: %s", SPAN_ARGS(name),
			       config_join(known, sizeof(known), key_at, parser->keys));
}

/* The value without quotes, blanks and comment. False, with a mistake, when the quotes do not add up. */
static bool cut_value(struct parser *parser, struct span *value)
{
	*value = span_trim(*value);
	if (value->size > 0 && (value->start[0] == '"' || value->start[0] == '\'')) {
		struct span inside = span_from(*value, 1);
		size_t end = span_find(inside, value->start[0]);

		if (end == inside.size) {
			config_mistake(parser, value->start, "expected a closing %c", value->start[0]);
			return false;
		}
		if (!is_empty(span_from(inside, end + 1))) {
			struct span rest = span_trim(span_from(inside, end + 1));

			config_mistake(parser, rest.start,
				       "found '%.*s' after the closing quote, expected the end of the line",
				       SPAN_ARGS(rest));
			return false;
		}
		*value = span_first(inside, end);
		return true;
	}

	/* A comment begins the value or follows a blank: `a#b` is a value. */
	for (size_t i = 0; i < value->size; i++)
		if (begins_comment(value->start[i]) && (i == 0 || text_is_blank(value->start[i - 1])))
			value->size = i;
	*value = span_trim(*value);
	return true;
}

/* Remembers the first line that gives the key, and returns it. */
static uint32_t note_key(struct parser *parser, size_t index)
{
	uint32_t *seen_line = &parser->slot->seen_line[index];

	if (*seen_line == 0)
		*seen_line = parser->line_number;
	return *seen_line;
}

/* Keys that exclude each other are reported once, at the later one. */
static void report_company(struct parser *parser, const struct key *key, struct span name)
{
	uint32_t other_line = key->instead != NULL ? line_of(parser, key->instead) : 0;

	if (other_line != 0 && other_line < parser->line_number)
		config_mistake(parser, name.start, "'%s' cannot stand beside '%s' of line %u", key->name,
			       key->instead, other_line);
	if (!parser->learning && key->needs != NULL && line_of(parser, key->needs) == 0)
		config_mistake(parser, name.start, "'%s' needs the key '%s'", key->name, key->needs);
}

static void report_wrong_mode(struct parser *parser, const struct key *key, struct span name)
{
	if (key->full_only && parser->partition->mode == MODE_PARA)
		config_mistake(parser, name.start, "'%s' is for mode = full; this partition is para",
			       key->name);
	if (key->para_only && config_is_full(parser->partition, parser->slot))
		config_mistake(parser, name.start, "'%s' is for mode = para; this partition is full",
			       key->name);
}

static void read_value(struct parser *parser, const struct key *key, struct span name, struct span value)
{
	size_t index = (size_t)(key - parser->keys);
	uint32_t first_line = note_key(parser, index);

	if (first_line != parser->line_number) {
		config_mistake(parser, name.start, "a second '%s'; the first is in line %u", key->name,
			       first_line);
		return;
	}
	report_wrong_mode(parser, key, name);
	report_company(parser, key, name);

	parser->key_index = index;
	parser->key_is_read = true;
	if (cut_value(parser, &value))
		key->read(parser, key, value);
	parser->key_is_read = false;
}

/* `flawed`: the line holds bytes that are not text; they are reported already and the value is not judged. */
static void read_assignment(struct parser *parser, struct span line, bool flawed)
{
	size_t equals = span_find(line, '=');
	struct span name = span_trim(span_first(line, equals));

	if (equals == line.size || name.size == 0) {
		if (!flawed)
			config_mistake(parser, line.start,
				       "found '%.*s', expected 'key = value' or a [section]",
				       SPAN_ARGS(line));
		return;
	}
	if (parser->keys == NULL)
		return;

	for (const struct key *key = parser->keys; key->name != NULL; key++) {
		if (!span_equals(name, key->name))
			continue;
		if (!flawed) {
			read_value(parser, key, name, span_from(line, equals + 1));
			return;
		}
		note_key(parser, (size_t)(key - parser->keys));
		parser->slot->flawed_keys |= 1u << (key - parser->keys);
		return;
	}
	if (!flawed)
		report_unknown_key(parser, name);
}

static void report_flaw(struct parser *parser, size_t offset)
{
	unsigned byte = (uint8_t)parser->line.start[offset];

	if (byte == 0)
		config_mistake(parser, parser->line.start + offset, "a NUL byte, expected text in UTF-8");
	else
		config_mistake(parser, parser->line.start + offset, "%s 0x%02x, expected text in UTF-8",
			       byte < 0x80 ? "a control character" : "a stray byte", byte);
}

static void read_line(struct parser *parser)
{
	struct span line = span_trim(parser->line);
	size_t flaw = text_first_flaw(parser->line);
	bool flawed = flaw < parser->line.size;

	if (flawed)
		report_flaw(parser, flaw);
	if (is_empty(line))
		return;

	if (line.start[0] == '[' && flawed)
		skip_section(parser);
	else if (line.start[0] == '[')
		read_header(parser, line);
	else if (parser->keys == NULL && !parser->any_header_flawed && !flawed)
		config_mistake(
			parser, line.start,
			"found '%.*s' before the first section, expected [hypervisor] or [partition NAME]",
			SPAN_ARGS(line));
	else
		read_assignment(parser, line, flawed);
}

/* ---- the file ---- */

static void read_text(struct parser *parser, struct span text)
{
	parser->line_number = 0;
	parser->keys = NULL;
	parser->any_header_flawed = false;
	do {
		size_t end = span_find(text, '\n');

		parser->line = span_first(text, end);
		parser->line_number++;
		if (end > 0 && parser->line.start[end - 1] == '\r')
			parser->line.size--;
		read_line(parser);
		text = span_from(text, end < text.size ? end + 1 : end);
	} while (text.size > 0);
}

static bool begins_with(struct span text, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (i >= text.size || text.start[i] != bytes[i])
			return false;
	return true;
}

static bool is_utf16(struct span text)
{
	return begins_with(text, "\xFF\xFE", 2) || begins_with(text, "\xFE\xFF", 2);
}

static void set_defaults(struct config *config)
{
	*config = (struct config){
		.console_serial = true,
		.console_screen = true,
		.serial_port = DEFAULT_SERIAL_PORT,
		.log = LOG_INFO,
		.poweroff_when_done = true,
	};
}

uint32_t config_parse(const char *text, size_t size, struct config *out, config_report_fn *report,
		      void *context)
{
	struct parser parser = {.config = out, .report = report, .context = context, .learning = true};
	struct span whole = {size > 0 ? text : "", size};

	set_defaults(out);
	if (is_utf16(whole)) {
		report(context, 1, 1, "the file is UTF-16, expected UTF-8: save it again as UTF-8");
		return 1;
	}
	if (begins_with(whole, "\xEF\xBB\xBF", 3))
		whole = span_from(whole, 3);

	read_text(&parser, whole);
	parser.learning = false;
	read_text(&parser, whole);
	if (out->partition_count == 0 && !parser.any_header_flawed)
		config_mistake(&parser, parser.line.start,
			       "the file has no partition, expected [partition NAME]");
	return parser.mistakes;
}
