/* ca.h - the file of the certificate authority. */
#ifndef CONTROLLER_SERVICEACCOUNT_CA_H
#define CONTROLLER_SERVICEACCOUNT_CA_H

#include <orlop/types.h>

/* The whole text, for omem_free(). 0 or -errno with @err. */
int ca_read(const char *path, char **ret_text, struct orlop_error *err);

#endif
