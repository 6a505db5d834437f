import * as z from 'zod'

export { csvResponse, fileResponse } from '../file-response.ts'

/** How a report is told. @see csvResponse */
export const formatQuery = z.enum(['json', 'csv']).default('json')
