/* A para partition has neither ports nor a task priority. */
#include "../common/x86.h"
#include "cpu.h"

const bool cr8_is_priority = false;

static void try_out(void)
{
	port_write8(0x80, 0);
}

static void try_in(void)
{
	(void)port_read8(0x80);
}

void check_platform(void)
{
	expect_vector("out", try_out, VECTOR_GP);
	expect_vector("in", try_in, VECTOR_GP);
}
