import type { Choices } from '../reports/choices.ts'
import { isUuid } from '../uuid.ts'
import { choiceField, textField } from './components/filters.ts'
import { html, type Html } from './html.ts'

/** Whose data an address asks for; what cannot be an id asks for nobody's in particular. */
export function whoFilter(query: Readonly<Record<string, string>>): {
  userId: string | undefined
  department: string | undefined
} {
  const user = (query['user'] ?? '').trim().toLowerCase()
  const department = (query['department'] ?? '').replaceAll('\0', '').slice(0, 255)
  return { userId: isUuid(user) ? user : undefined, department: department === '' ? undefined : department }
}

/** Drop-downs of departments and users, for those who see more than themselves. */
export function whoFields(
  query: Readonly<Record<string, string>>,
  { users, departments }: Choices,
): Html | '' {
  const { userId, department } = whoFilter(query)
  if (users !== null && users.length < 2 && departments.length < 2) return ''
  return html`
    ${
      departments.length === 0
        ? ''
        : choiceField('department', 'Department', {
            any: 'All departments',
            choices: departments.map((name) => ({ value: name, text: name })),
            chosen: department,
          })
    }
    ${
      users === null
        ? textField('user', 'User id', userId, 'too many to list: see Users')
        : choiceField('user', 'User', {
            any: 'All users',
            choices: users.map(({ user_id, name, email }) => ({
              value: user_id,
              text: name ?? email ?? user_id,
            })),
            chosen: userId,
          })
    }
  `
}

/** What users are called, by their id; those of a long list have no name here. */
export const namesOf = ({ users }: Choices): ReadonlyMap<string, string> =>
  new Map((users ?? []).map(({ user_id, name, email }) => [user_id, name ?? email ?? user_id]))
