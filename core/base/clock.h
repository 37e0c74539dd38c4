/* core/base/clock.h - the two clocks, in milliseconds. Any thread. Code behind struct env asks env instead. */
#ifndef SHOAL_BASE_CLOCK_H
#define SHOAL_BASE_CLOCK_H
#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
uint64_t clock_wall_ms(void); /* since 1970 */
#endif
