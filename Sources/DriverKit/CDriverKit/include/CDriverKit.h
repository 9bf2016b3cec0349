// The boundary between the kernel half and a driver: messages between two processes, a thread's driver context,
// crash reports, and orders between threads.

#ifndef NBDEXT_CDRIVERKIT_H
#define NBDEXT_CDRIVERKIT_H

#include "channel.h"
#include "crash.h"
#include "order.h"

#endif
