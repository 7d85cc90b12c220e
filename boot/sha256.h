/* SHA-256 of a whole buffer (FIPS 180-4). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

void sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE]);
