/*
 * Discovery, random numbers, stolen time: calls that answer the same at any time (DEN0028, DEN0098, DEN0057).
 */
#include "table.h"

#define UNKNOWN_FUNCTION 0x84000055u
#define BITMAP_CREATE	 0x8400007Du /* NOTIFICATION_BITMAP_CREATE: a hypervisor's */

#define NOT_THERE(function)                                                                                  \
	{                                                                                                    \
		.what = "a function that is not there", .x = {function}, .expected = SMCCC_NOT_SUPPORTED     \
	}

static const struct row plain[] = {{.what = "plain", .expected = SMCCC_VERSION_1_1}};

static const struct row arch_features[] = {
	{.what = "SMCCC_VERSION", .x = {SMCCC_VERSION}},
	{.what = "a PSCI call", .x = {PSCI_CPU_ON_64}},
	{.what = "a vendor call", .x = {VENDOR_EVENT_PAGE}},
	{.what = "stolen time", .x = {PV_TIME_FEATURES}},
	NOT_THERE(UNKNOWN_FUNCTION),
	NOT_THERE(PSCI_VERSION | SMCCC_64),
	NOT_THERE(SMCCC_VERSION | 1u << 20),
	NOT_THERE(SMCCC_VERSION & ~SMCCC_FAST),
	NOT_THERE(0),
};

static const struct row uid[] = {{.what = "plain",
				  .expected = BH_UID_0,
				  .flags = ROW_COMPARE,
				  .result = {BH_UID_1, BH_UID_2, BH_UID_3}}};

static const struct row revision[] = {{.what = "plain", .expected = BH_ABI_MAJOR}};

/* Bits 0 to 6 and 16 to 21: the numbers of Bulkhead's own calls. */
static const struct row features[] = {{.what = "plain", .expected = 0x3F007F, .flags = ROW_COMPARE}};

static const struct row trng_version[] = {{.what = "plain", .expected = TRNG_VERSION_1_0}};

static const struct row trng_features[] = {
	{.what = "TRNG_VERSION", .x = {TRNG_VERSION}},
	{.what = "TRNG_FEATURES", .x = {TRNG_FEATURES}},
	{.what = "TRNG_GET_UUID", .x = {TRNG_GET_UUID}},
	{.what = "TRNG_RND 32", .x = {TRNG_RND_32}},
	{.what = "TRNG_RND 64", .x = {TRNG_RND_64}},
	NOT_THERE(TRNG_VERSION | SMCCC_64),
	NOT_THERE(TRNG_VERSION + 4),
	NOT_THERE(PSCI_VERSION),
};

static const struct row trng_uuid[] = {{.what = "plain",
					.expected = BH_TRNG_UUID_0,
					.flags = ROW_COMPARE,
					.result = {BH_TRNG_UUID_1, BH_TRNG_UUID_2, BH_TRNG_UUID_3}}};

/* Errors give zeros in x1 to x3. */
static const struct row trng_rnd[] = {
	{.what = "0 bits", .x = {0}, .expected = TRNG_INVALID_PARAMETERS, .flags = ROW_COMPARE},
	{.what = "1 bit", .x = {1}},
	{.what = "33 bits", .x = {33}},
	{.what = "96 bits", .x = {96}},
	{.what = "192 bits", .x = {192}, .flags = ROW_ONLY_64},
	{.what = "193 bits", .x = {193}, .expected = TRNG_INVALID_PARAMETERS, .flags = ROW_COMPARE},
	{.what = "2^32 bits", .x = {1ull << 32}, .expected = TRNG_INVALID_PARAMETERS, .flags = ROW_ONLY_64},
};

static const struct row trng_rnd_97[] = {
	{.what = "97 bits", .x = {97}, .expected = TRNG_INVALID_PARAMETERS, .flags = ROW_COMPARE}};

static const struct row time_features[] = {
	{.what = "itself", .x = {PV_TIME_FEATURES}},
	{.what = "PV_TIME_ST", .x = {PV_TIME_ST}},
	NOT_THERE(0xC5000022),
	NOT_THERE(PV_TIME_ST & ~SMCCC_64),
	NOT_THERE(SMCCC_VERSION),
};

static const struct row time_record[] = {{.what = "plain", .flags = ROW_VALUE}};

static const struct call calls[] = {
	{"SMCCC_VERSION", SMCCC_VERSION, FORM_32, FAMILY_SMCCC, 1, 1, ROWS(plain)},
	{"SMCCC_ARCH_FEATURES", SMCCC_ARCH_FEATURES, FORM_32, FAMILY_SMCCC, 1, 1, ROWS(arch_features)},
	{"UID", VENDOR_CALL_UID, FORM_32, FAMILY_SMCCC, 4, 1, ROWS(uid)},
	{"REVISION", VENDOR_CALL_REVISION, FORM_32, FAMILY_SMCCC, 2, 1, ROWS(revision)},
	{"VENDOR_FEATURES", VENDOR_FEATURES, FORM_32, FAMILY_SMCCC, 4, 1, ROWS(features)},
	{"TRNG_VERSION", TRNG_VERSION, FORM_32, FAMILY_TRNG, 1, 1, ROWS(trng_version)},
	{"TRNG_FEATURES", TRNG_FEATURES, FORM_32, FAMILY_TRNG, 1, 1, ROWS(trng_features)},
	{"TRNG_GET_UUID", TRNG_GET_UUID, FORM_32, FAMILY_TRNG, 4, 1, ROWS(trng_uuid)},
	{"TRNG_RND", TRNG_RND_32, FORM_BOTH, FAMILY_TRNG, 4, 4, ROWS(trng_rnd)},
	{"PV_TIME_FEATURES", PV_TIME_FEATURES, FORM_64, FAMILY_SMCCC, 1, 1, ROWS(time_features)},
	{"PV_TIME_ST", PV_TIME_ST, FORM_64, FAMILY_SMCCC, 1, 1, ROWS(time_record)},
};

/* No bit above those asked for, and no two words alike. */
static void check_random_words(void)
{
	uint64_t words[6] = {0};
	uint64_t narrow[8] = {TRNG_RND_32, 33}, wide[8] = {TRNG_RND_64, 65};

	expect("random bytes", (uint64_t)bh_random(words, sizeof(words)), 0);
	for (int i = 1; i < 6; i++)
		check(words[i] != words[i - 1] && words[i], "random words differ");
	bh_call_registers(narrow);
	check(narrow[1] == 0 && narrow[2] <= 1 && narrow[3] <= UINT32_MAX, "TRNG_RND 32 gives 33 bits");
	bh_call_registers(wide);
	check(wide[1] == 0 && wide[2] <= 1, "TRNG_RND 64 gives 65 bits");
}

static void check_stolen_time(void)
{
	const uint64_t address = bh_call(PV_TIME_ST, 0, 0, 0, 0, 0);
	const struct pv_stolen_time *record = (const struct pv_stolen_time *)address;

	check(address && address % 64 == 0 && address < memory_size, "PV_TIME_ST address");
	if (address < memory_size)
		check(record->revision == 0 && record->attributes == 0, "stolen-time record");
}

void check_discovery(void)
{
	struct bh_identity identity = {0};

	check(bh_identify(&identity), "identify");
	expect("revision", identity.vendor_major << 16 | identity.vendor_minor, BH_ABI_REVISION);
	check_unknown("nobody", "a function nobody knows", UNKNOWN_FUNCTION);
	check_unknown("nobody", "a function nobody knows", UNKNOWN_FUNCTION | SMCCC_64);
	check_unknown("nobody", "a hypervisor's function", BITMAP_CREATE);
	check_unknown("nobody", "a result as a call", FFA_SUCCESS_32);
	check_calls(calls, sizeof(calls) / sizeof(calls[0]));
	check_row(&calls[8], 0, trng_rnd_97, NULL);
	check_random_words();
	check_stolen_time();
}
