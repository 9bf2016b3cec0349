// liburing.h asks for X/Open names; the common types come first, so that they look as in every other module.
#include <sys/select.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <liburing.h>
