/*
 * The address register takes whole words of 32 bits alone: bytes in between belong to others, such as the
 * reset register at CF9h.
 */
#include "hv/device/pci.h"
#include "hv/device/pc.h"

#define ADDRESS_ENABLE	 0x80000000u
#define ADDRESS_FUNCTION 0x00FFFF00u /* bus, device, function */
#define ADDRESS_REGISTER 0x000000FCu
#define ADDRESS_KEPT	 (ADDRESS_ENABLE | ADDRESS_FUNCTION | ADDRESS_REGISTER)
#define NOBODY		 0xFFFFFFFFu

/* "BH" and a first device: made up, so that no system takes the bridge for a chip it knows the faults of. */
#define VENDOR_BULKHEAD	   0x4842u
#define DEVICE_HOST_BRIDGE 0x0001u
#define COMMAND_FIXED	   0x0006u /* memory space, bus master */
#define CLASS_HOST_BRIDGE  0x0600u

/* The type 0 header (6.1): what is not named is 0. */
static uint32_t host_bridge(unsigned offset)
{
	switch (offset) {
	case 0x00: return DEVICE_HOST_BRIDGE << 16 | VENDOR_BULKHEAD;
	case 0x04: return COMMAND_FIXED;
	case 0x08: return CLASS_HOST_BRIDGE << 16;
	default: return 0;
	}
}

uint32_t pci_read(const struct pci *pci, uint16_t port, unsigned size)
{
	if (port < PC_PORT_PCI_DATA)
		return port == PC_PORT_PCI_ADDRESS && size == 4 ? pci->address : NOBODY;
	if ((pci->address & (ADDRESS_ENABLE | ADDRESS_FUNCTION)) != ADDRESS_ENABLE)
		return NOBODY;
	return host_bridge(pci->address & ADDRESS_REGISTER) >> 8 * (port - PC_PORT_PCI_DATA);
}

void pci_write(struct pci *pci, uint16_t port, unsigned size, uint32_t value)
{
	if (port == PC_PORT_PCI_ADDRESS && size == 4)
		pci->address = value & ADDRESS_KEPT;
}
