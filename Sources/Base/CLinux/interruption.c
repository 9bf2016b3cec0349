#include "CLinux.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static int interruption_pipe = -1;

static void interrupted(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    (void)!write(interruption_pipe, &byte, 1);
    errno = saved;
}

void nbdext_tell_of_interruptions(int pipe)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM};
    interruption_pipe = pipe;
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction former;
        if (sigaction(signals[i], NULL, &former) != 0 || former.sa_handler != SIG_DFL) continue;
        struct sigaction action = {.sa_handler = interrupted, .sa_flags = SA_RESTART};
        sigemptyset(&action.sa_mask);
        sigaction(signals[i], &action, NULL);
    }
}
