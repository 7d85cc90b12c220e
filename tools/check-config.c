/*
 * check-config FILE...: tells every mistake of a bulkhead.cfg before it is ever booted, as a compiler would.
 * It is the loader's own parser. Exit status: 0 no mistakes, 1 mistakes or a file that cannot be read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/config.h>

#define READ_STEP 65536u

static void print_mistake(void *context, uint32_t line, uint32_t column, const char *message)
{
	fprintf(stderr, "%s:%u:%u: %s\n", (const char *)context, line, column, message);
}

/* The whole file in memory that the caller frees; NULL with errno set when it cannot be read. */
static char *read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	char *text = NULL;
	size_t count;

	*size = 0;
	if (file == NULL)
		return NULL;
	do {
		char *larger = realloc(text, *size + READ_STEP);

		if (larger == NULL)
			break;
		text = larger;
		count = fread(text + *size, 1, READ_STEP, file);
		*size += count;
	} while (count == READ_STEP);

	if (ferror(file) || !feof(file)) {
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

static int check(char *path)
{
	struct config config;
	size_t size;
	char *text = read_file(path, &size);

	if (text == NULL) {
		fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}

	uint32_t mistakes = config_parse(text, size, &config, print_mistake, path);

	free(text);
	if (mistakes > 0) {
		fprintf(stderr, "%s: %u mistake%s\n", path, mistakes, mistakes == 1 ? "" : "s");
		return EXIT_FAILURE;
	}
	printf("%s: fine, %u partition%s", path, config.partition_count,
	       config.partition_count == 1 ? "" : "s");
	if (config.channel_count > 0)
		printf(", %u channel%s", config.channel_count, config.channel_count == 1 ? "" : "s");
	printf("\n");
	return EXIT_SUCCESS;
}

int main(int count, char **arguments)
{
	int status = EXIT_SUCCESS;

	if (count < 2) {
		fprintf(stderr, "usage: %s FILE...\n", arguments[0]);
		return EXIT_FAILURE;
	}
	for (int i = 1; i < count; i++)
		if (check(arguments[i]) != EXIT_SUCCESS)
			status = EXIT_FAILURE;
	return status;
}
