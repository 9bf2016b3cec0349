#include "CRAIDCard.h"
