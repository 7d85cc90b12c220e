/*
 * The console multiplexer: the output of all partitions and of the hypervisor, line by line, on serial line
 * and screen; and one keyboard (serial input) that belongs to one partition or the monitor. Ctrl-] then 1..9,
 * 0, x changes hands.
 *
 * Output never blocks an exit: whole lines go to a ring, which CPU 0 drains into the UART's FIFO on its
 * console tick (TIMER_CONSOLE; 10 ms idle, 1 ms while there is output waiting). A partition that outruns the
 * line is told to wait, each on its own account; one that will not wait loses whole lines, and is told how
 * many. Nobody waits for a line that does not move.
 */
#pragma once

#include "hv/core/partition.h"
#include "hv/lib/log.h"

/* From the first instruction on: serial port, screen, memory log. Output is synchronous until
 * console_start(). */
struct boot_info;
void console_early(const struct boot_info *boot);
/* After all CPUs run and partitions exist, on CPU 0: output through the ring, input is polled. */
void console_start(void);
/* Panic and power-off: back to synchronous output; what is in the ring goes first. Breaks the lock if need
 * be. */
void console_synchronous(void);

/*
 * Output of a guest, from one of the partition's CPUs (device or call). Whoever is told that there is no room
 * is called again when there is: REQUEST_CONSOLE of vCPU 0.
 *
 * A byte, which is taken in any case. false: a burst of a FIFO's size still finds room, more may get lost.
 */
bool console_put(struct partition *partition, uint8_t byte);
/* Takes what there is room for, and returns how many bytes that was. */
size_t console_write(struct partition *partition, const uint8_t *bytes, size_t count) MUST_CHECK;
/* Takes all of it; lines that find no room are lost. */
void console_write_last(struct partition *partition, const uint8_t *bytes, size_t count);
/* The end of a life: what it left unfinished is a line, and the next life begins with one of its own. */
void console_end_line(struct partition *partition);

/* The console tick of CPU 0: drains output, reads input, flushes unfinished lines, runs the monitor. */
void console_tick(void);
/* Shows the lines of the hypervisor's memory log, at the pace of the line. */
void console_show_log(void);

/* Audits the machine's page tables (hv/core/audit.h): a line each finding, and a line at the end. */
void console_audit(void);

/* One line of the hypervisor's own, without level, time stamp or place in the memory log: answers of the
 * monitor. */
void console_print(const char *format, ...) PRINTF_LIKE(1, 2);

/* The last lines before power-off: how each partition ended, run time, exits, lines. Output is synchronous
 * from here on. */
void console_summary(void);

/* log.c hands a finished line on: one output line of `level`'s colour. */
void console_own_line(enum log_level level, const char *text, size_t length);

/* The keyboard belongs to the monitor (0) or to partition `owner`, counted from 1. false: there is no such
 * partition. */
bool console_give_keyboard(uint32_t owner);
uint32_t console_keyboard(void);
void console_key_help(void);

/* hv/console/monitor.c: one typed line, or an order of the console keys. */
void monitor_execute(const char *line);
