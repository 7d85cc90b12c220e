/*
 * One 8259A: lines come in, the priority resolver picks, an acknowledge moves a request into service, an end
 * of interrupt takes it out. Then the pair of them, and their ports. Source: Intel 8259A data sheet (order
 * 231468), "Programming the 8259A".
 */
#include "hv/device/pic.h"
#include "hv/lib/string.h"

#define CASCADE_LINE  2
#define SPURIOUS_LINE 7
#define LINES	      8u

#define PORT_IS_SLAVE	 0x80u /* 20h, 21h: master; A0h, A1h: slave */
#define PORT_IS_DATA	 0x01u
#define PORT_ELCR_MASTER 0x4D0u
#define PORT_ELCR_SLAVE	 0x4D1u
#define ELCR_MASTER_BITS 0xF8u /* timer, keyboard and cascade are edge-triggered for good */
#define ELCR_SLAVE_BITS	 0xDEu /* so are the clock and the coprocessor */

#define ICW1_START	    0x10u
#define ICW1_WORD4	    0x01u
#define ICW1_SINGLE	    0x02u
#define ICW2_BASE	    0xF8u
#define ICW4_AUTO_END	    0x02u
#define ICW4_SPECIAL_NESTED 0x10u

#define OCW3	       0x08u
#define OCW3_READ      0x02u
#define OCW3_READ_ISR  0x01u
#define OCW3_POLL      0x04u
#define OCW3_MASK_MODE 0x40u
#define OCW3_MASK_SET  0x20u
#define OCW2_LINE      0x07u
#define OCW2_SHIFT     5
#define POLL_PENDING   0x80u

static unsigned bit_of(unsigned line)
{
	return 1u << line;
}

/* The line of highest priority among `lines`, counted round from `first`; LINES for none. */
static unsigned highest(const struct pic *pic, unsigned lines)
{
	unsigned turned = (lines >> pic->first | lines << (LINES - pic->first)) & 0xFF;

	return lines ? (unsigned)(__builtin_ctz(turned) + pic->first) % LINES : LINES;
}

/* 0 is the highest priority, LINES stands for no line at all. */
static unsigned rank(const struct pic *pic, unsigned line)
{
	return line == LINES ? LINES : (line - pic->first) % LINES;
}

/* The line that wants to be acknowledged, or LINES. */
static unsigned resolve(const struct pic *pic)
{
	unsigned wanted = highest(pic, pic->request & (unsigned)~pic->mask);
	unsigned service = pic->service;

	if (wanted == LINES)
		return LINES;
	if (pic->special_mask)
		service &= (unsigned)~pic->mask;
	if (pic->special_nested) /* the slave may interrupt its own service */
		service &= ~bit_of(CASCADE_LINE);
	return rank(pic, wanted) < rank(pic, highest(pic, service)) ? wanted : LINES;
}

/* An edge is latched only while its line stays up; one that falls before the acknowledge becomes a spurious
 * line 7. */
static void set_line(struct pic *pic, unsigned line, bool high)
{
	const uint8_t bit = (uint8_t)bit_of(line);

	if (!high) {
		pic->lines &= (uint8_t)~bit;
		pic->request &= (uint8_t)~bit;
		return;
	}
	if ((pic->level_triggered & bit) || !(pic->lines & bit))
		pic->request |= bit;
	pic->lines |= bit;
}

static void end_line(struct pic *pic, unsigned line, bool rotate)
{
	if (line == LINES)
		return;
	pic->service &= (uint8_t)~bit_of(line);
	if (rotate)
		pic->first = (uint8_t)((line + 1) % LINES);
}

/* What INTA does to one chip: the line, SPURIOUS_LINE if none wants. */
static unsigned acknowledge(struct pic *pic)
{
	unsigned line = resolve(pic);

	if (line == LINES)
		return SPURIOUS_LINE;
	if (!(pic->level_triggered & bit_of(line)))
		pic->request &= (uint8_t)~bit_of(line);
	pic->service |= (uint8_t)bit_of(line);
	if (pic->auto_end)
		end_line(pic, line, pic->rotate_on_auto_end);
	return line;
}

/*
 * Programming
 */

static void begin_initialisation(struct pic *pic, uint8_t word)
{
	const uint8_t lines = pic->lines, level_triggered = pic->level_triggered;

	memset(pic, 0, sizeof(*pic));
	pic->lines = lines;
	pic->level_triggered = level_triggered;
	pic->request = lines & level_triggered; /* edges have to come anew */
	pic->wants_word4 = word & ICW1_WORD4;
	pic->single = word & ICW1_SINGLE;
	pic->next_word = 2;
}

static void initialisation_word(struct pic *pic, uint8_t word)
{
	const uint8_t after_third = pic->wants_word4 ? 4 : 0;

	switch (pic->next_word) {
	case 2:
		pic->base = word & ICW2_BASE;
		pic->next_word = pic->single ? after_third : 3;
		break;
	case 3: /* where the slave hangs is wired */ pic->next_word = after_third; break;
	default:
		pic->auto_end = word & ICW4_AUTO_END;
		pic->special_nested = word & ICW4_SPECIAL_NESTED;
		pic->next_word = 0;
		break;
	}
}

static void end_of_interrupt(struct pic *pic, uint8_t word)
{
	enum { CLEAR_AUTO, END, NOTHING, END_LINE, SET_AUTO, END_ROTATE, SET_PRIORITY, END_LINE_ROTATE };
	const unsigned line = word & OCW2_LINE;
	const unsigned ended =
		highest(pic, pic->special_mask ? pic->service & (unsigned)~pic->mask : pic->service);

	switch (word >> OCW2_SHIFT) {
	case END: end_line(pic, ended, false); break;
	case END_ROTATE: end_line(pic, ended, true); break;
	case END_LINE: end_line(pic, line, false); break;
	case END_LINE_ROTATE: end_line(pic, line, true); break;
	case SET_PRIORITY: pic->first = (uint8_t)((line + 1) % LINES); break;
	case SET_AUTO: pic->rotate_on_auto_end = true; break;
	case CLEAR_AUTO: pic->rotate_on_auto_end = false; break;
	default: break;
	}
}

static void write_command(struct pic *pic, uint8_t word)
{
	if (word & ICW1_START) {
		begin_initialisation(pic, word);
	} else if (word & OCW3) {
		if (word & OCW3_READ)
			pic->reads_service = word & OCW3_READ_ISR;
		if (word & OCW3_MASK_MODE)
			pic->special_mask = word & OCW3_MASK_SET;
		pic->poll = word & OCW3_POLL;
	} else {
		end_of_interrupt(pic, word);
	}
}

static void write_data(struct pic *pic, uint8_t word)
{
	if (pic->next_word)
		initialisation_word(pic, word);
	else
		pic->mask = word;
}

static uint8_t read_chip(struct pic *pic, bool data)
{
	if (pic->poll) { /* a read after the poll command is the acknowledge */
		const bool pending = resolve(pic) != LINES;

		pic->poll = false;
		return (uint8_t)(pending ? POLL_PENDING | acknowledge(pic) : 0);
	}
	if (data)
		return pic->mask;
	return pic->reads_service ? pic->service : pic->request;
}

/*
 * The pair
 */

static void cascade(struct pic_pair *pair)
{
	set_line(&pair->master, CASCADE_LINE, resolve(&pair->slave) != LINES);
}

void pic_reset(struct pic_pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	pair->master.mask = pair->slave.mask = 0xFF;
}

static struct pic *chip_at(struct pic_pair *pair, uint16_t port)
{
	return port & PORT_IS_SLAVE ? &pair->slave : &pair->master;
}

uint8_t pic_read(struct pic_pair *pair, uint16_t port)
{
	uint8_t value;

	if (port == PORT_ELCR_MASTER)
		return pair->master.level_triggered;
	if (port == PORT_ELCR_SLAVE)
		return pair->slave.level_triggered;
	value = read_chip(chip_at(pair, port), port & PORT_IS_DATA);
	cascade(pair);
	return value;
}

void pic_write(struct pic_pair *pair, uint16_t port, uint8_t value)
{
	if (port == PORT_ELCR_MASTER)
		pair->master.level_triggered = value & ELCR_MASTER_BITS;
	else if (port == PORT_ELCR_SLAVE)
		pair->slave.level_triggered = value & ELCR_SLAVE_BITS;
	else if (port & PORT_IS_DATA)
		write_data(chip_at(pair, port), value);
	else
		write_command(chip_at(pair, port), value);
	cascade(pair);
}

void pic_set_line(struct pic_pair *pair, unsigned line, bool high)
{
	if (line < LINES) {
		set_line(&pair->master, line, high);
		return;
	}
	set_line(&pair->slave, line - LINES, high);
	cascade(pair);
}

bool pic_is_requested(const struct pic_pair *pair, unsigned line)
{
	return line < LINES ? pair->master.request & bit_of(line)
			    : pair->slave.request & bit_of(line - LINES);
}

int pic_pending(const struct pic_pair *pair)
{
	const unsigned line = resolve(&pair->master);

	if (line == LINES)
		return PIC_QUIET;
	if (line != CASCADE_LINE)
		return pair->master.base + (int)line;
	return pair->slave.base + (int)MIN(resolve(&pair->slave), (unsigned)SPURIOUS_LINE);
}

uint8_t pic_acknowledge(struct pic_pair *pair)
{
	const unsigned line = acknowledge(&pair->master);
	unsigned vector = pair->master.base + line;

	if (line == CASCADE_LINE) {
		vector = pair->slave.base + acknowledge(&pair->slave);
		set_line(&pair->master, CASCADE_LINE,
			 false); /* what the slave wants next is an edge of its own */
		cascade(pair);
	}
	return (uint8_t)vector;
}
