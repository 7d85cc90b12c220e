/*
 * The pair of 8259 interrupt controllers: moved away from the exception vectors, everything masked but what
 * is used. Source: Intel 8259A data sheet (initialisation command words).
 */
#include "../common/x86.h"
#include "devices.h"

#define MASTER_COMMAND 0x20u
#define MASTER_DATA    0x21u
#define SLAVE_COMMAND  0xA0u
#define SLAVE_DATA     0xA1u

#define ICW1_CASCADE_ICW4 0x11u
#define ICW3_MASTER	  0x04u /* the slave hangs on line 2 */
#define ICW3_SLAVE	  0x02u
#define ICW4_8086	  0x01u
#define OCW2_END	  0x20u /* non-specific end of interrupt */

static uint8_t mask = 0xFF;

void pic_init(void)
{
	port_write8(MASTER_COMMAND, ICW1_CASCADE_ICW4);
	port_write8(SLAVE_COMMAND, ICW1_CASCADE_ICW4);
	port_write8(MASTER_DATA, VECTOR_PIC);
	port_write8(SLAVE_DATA, VECTOR_PIC + 8);
	port_write8(MASTER_DATA, ICW3_MASTER);
	port_write8(SLAVE_DATA, ICW3_SLAVE);
	port_write8(MASTER_DATA, ICW4_8086);
	port_write8(SLAVE_DATA, ICW4_8086);
	port_write8(MASTER_DATA, mask);
	port_write8(SLAVE_DATA, 0xFF);
}

void pic_unmask(uint8_t irq)
{
	mask = (uint8_t)(mask & ~(1u << irq));
	port_write8(MASTER_DATA, mask);
}

void pic_mask(uint8_t irq)
{
	mask = (uint8_t)(mask | 1u << irq);
	port_write8(MASTER_DATA, mask);
}

void pic_end(void)
{
	port_write8(MASTER_COMMAND, OCW2_END);
}
