/** The version of this package, as `/health` tells it. */
export const VERSION = '0.1.0'
