/*
 * What the two halves of the config parser share: config.c reads lines and sections, config_values.c reads
 * values.
 */
#pragma once

#include <bulkhead/config.h>
#include "boot/config_text.h"

#define CONFIG_KEYS_MAX 16 /* keys of one section */

/* Sections a mistake-free file can have, plus one for the partitions and channels that are too many. */
#define SLOT_HYPERVISOR 0u
#define SLOT_PARTITION	1u
#define SLOT_CHANNEL	(SLOT_PARTITION + CONFIG_MAX_PARTITIONS)
#define SLOT_SURPLUS	(SLOT_CHANNEL + CONFIG_MAX_CHANNELS)
#define SLOT_COUNT	(SLOT_SURPLUS + 1u)

struct parser;

struct word {
	const char *text;
	uint32_t value;
};

/* One row of a section's key table. `read` stores the value at `offset` in the section's structure. */
struct key {
	const char *name;
	void (*read)(struct parser *parser, const struct key *key, struct span value);
	size_t offset;
	size_t size;		  /* bytes of the field */
	const struct word *words; /* read_word(): the choices, ended by a NULL text */
	uint64_t low, high;	  /* read_number(), read_memory(): the allowed range */
	bool required;
	const char *instead; /* the key that may stand in this one's place, never beside it; NULL: none */
	const char *needs;   /* the key without which this one means nothing; NULL: none */
	bool full_only, para_only; /* a mistake in partitions of the other mode */
};

/* What a header may name. */
struct section_kind {
	const char *name, *header;
	const struct key *keys;
};

/* What the first reading learned about a section, kept for the second. */
struct slot {
	uint32_t seen_line[CONFIG_KEYS_MAX]; /* where key i was first given; 0: nowhere */
	uint32_t flawed_keys;		     /* bit i: the value of key i has mistakes of its own */
};

/*
 * The text is read twice. The first reading only learns; the second one reports, in the order of the text,
 * with the whole file known: what a section will lack, how many CPUs a list of pins must name.
 */
struct parser {
	struct config *config;
	config_report_fn *report;
	void *context;
	bool learning;
	uint32_t mistakes;

	uint32_t line_number;
	struct span line; /* without its end */

	const struct key *keys;		    /* key table of the current section; NULL: keys are skipped */
	const struct section_kind *kind;    /* of the current section */
	const char *name;		    /* its name */
	void *target;			    /* its structure */
	struct partition_config *partition; /* the same, when it is a partition */
	struct channel_config *channel;	    /* the same, when it is a channel */
	struct slot *slot;
	size_t key_index; /* of the key that is being read */
	bool key_is_read;

	bool any_header_flawed;
	uint32_t hypervisor_line; /* of the first [hypervisor]; 0: none yet */
	struct slot slots[SLOT_COUNT];
	struct partition_config surplus;
	struct channel_config surplus_channel;
};

/* Reports a mistake found at `where`, which points into the current line. */
void config_mistake(struct parser *parser, const char *where, const char *pattern, ...)
	__attribute__((format(printf, 3, 4)));

/* The names of a list, joined with ", ", and their number of bytes; cut when they do not fit. */
typedef const char *config_name_at(const void *list, size_t index);
const char *config_join(char *out, size_t size, config_name_at *name_at, const void *list);

#define CONFIG_MESSAGE_SIZE 320

/* Second reading: whether the partition is known to be full. A mode that is missing or mistaken is a mistake
 * of its own. */
bool config_is_full(const struct partition_config *partition, const struct slot *slot);

extern const struct key config_hypervisor_keys[];
extern const struct key config_partition_keys[];
extern const struct key config_channel_keys[];
