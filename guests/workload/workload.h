/*
 * The workload's parts and what they share. One story: greet, compute, talk with the other CPUs, then tick,
 * beat and listen until told to stop (main.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../common/print.h"
#include "../common/text.h"
#include "../platform.h"

extern const struct platform *platform;

#define TICK_HZ 100u
#define TICK_MS (1000u / TICK_HZ)

/* beat.c: the tick, the heartbeat it drives, and the check of the one against the TSC */
void beat_start(void);
void beat_set_period(uint32_t milliseconds);
bool beat_is_due(void); /* also with interrupts off */
void beat_serve(void);	/* prints what is due; may power off or crash, as the command line says */
void beat_report(void);
void beat_disturb(void); /* what this guest does now may hold a tick up: do not count the gap it is in */

/* compute.c: a known answer */
void compute(void); /* prints the result */
bool compute_silently(uint32_t *primes, uint32_t *crc);

/* messages.c: the other CPUs */
#define MESSAGES 100u
bool messages_start_cpu(uint32_t cpu);
bool messages_stop_cpu(uint32_t cpu);
void messages_start_all(void);			  /* every CPU there is: start, and talk */
bool messages_talk(uint32_t cpu, uint32_t count); /* prints the result */
bool messages_exchange(uint32_t cpu, uint32_t count, uint32_t *answered); /* silently */

/* commands.c: typed lines */
void commands_serve_byte(uint8_t byte);

/* crash.c: every way to go wrong; returns when the machine survived it */
void crash(const char *kind);
void crash_list(void);

/* study.c: counted work between markers, for the host to measure; ends in power off */
_Noreturn void study(void);
