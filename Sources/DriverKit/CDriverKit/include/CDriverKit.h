// The boundary between the kernel half and a driver: the messages of two processes, the thread's driver context, crashes.

#ifndef NBDEXT_CDRIVERKIT_H
#define NBDEXT_CDRIVERKIT_H

#include "channel.h"
#include "crash.h"

#endif
