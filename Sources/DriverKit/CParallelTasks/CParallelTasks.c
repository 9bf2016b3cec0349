#include "CParallelTasks.h"
