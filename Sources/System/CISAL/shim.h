#include <isa-l/crc.h>
#include <isa-l/raid.h>
