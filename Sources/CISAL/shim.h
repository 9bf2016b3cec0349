#include <isa-l/raid.h>
