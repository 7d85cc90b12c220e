/*
 * PCI configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2) and the one device behind it: the host
 * bridge, without any register to program. Where there is no device, reads give all ones.
 */
#pragma once

#include "hv/lib/types.h"

struct pci {
	uint32_t address;
};

/* Ports CF8h to CFFh; reads give what stands from the port on. */
uint32_t pci_read(const struct pci *pci, uint16_t port, unsigned size);
void pci_write(struct pci *pci, uint16_t port, unsigned size, uint32_t value);
