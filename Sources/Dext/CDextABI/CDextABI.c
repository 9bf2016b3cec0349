#include "CDextABI.h"
