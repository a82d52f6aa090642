/// The error a call ends with.
#ifndef FOREBAY_SRC_STATUS_H
#define FOREBAY_SRC_STATUS_H

#include "../include/forebay/values.h"

/// Forgets the error of the call before.
void forebay_error_clear(void);

#endif
