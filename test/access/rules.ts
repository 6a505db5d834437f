import { type Asker, type Name, STAFF } from './people.ts'

/** Whose a row is, and of which department; of a limit, whom it holds: a department's members or everyone. */
export interface Owned {
  name: Name | 'somebody' | null
  department: string | null
  holds?: string | null
}
type Rule = (who: Asker, row: Owned) => boolean

interface Viewer {
  role: 'member' | 'manager' | 'finance' | 'admin'
  department: string | null
}

/** Who somebody is by now; null for who is let see nothing. */
function viewerOf(who: Asker): Viewer | null {
  if (who === 'nobody' || who === 'Bea' || who === 'Rex' || who === 'Erna') return null
  const staff: { role?: Viewer['role']; department?: string } = STAFF[who]
  return {
    role: staff.role ?? 'member',
    department: who === 'Eve' ? 'Research' : (staff.department ?? null),
  }
}

const isOwn: Rule = (who, row) => row.name === who
const isManaged: Rule = (who, row) => {
  const viewer = viewerOf(who)
  return viewer?.role === 'manager' && viewer.department !== null && viewer.department === row.department
}
const alive =
  (rule: (viewer: Viewer, who: Asker, row: Owned) => boolean): Rule =>
  (who, row) => {
    const viewer = viewerOf(who)
    return viewer !== null && rule(viewer, who, row)
  }

const admins = alive(({ role }) => role === 'admin')
const everybodys = alive(({ role }) => role === 'finance' || role === 'admin')
const records = alive((_, who, row) => everybodys(who, row) || isOwn(who, row) || isManaged(who, row))

/** The model of who sees what, apart from the database. */
export const RULES = {
  /** Members their own, managers their department's too, finance and administrators everybody's. */
  records,
  /** Likewise, but finance its own alone. */
  calls: alive((_, who, row) => admins(who, row) || isOwn(who, row) || isManaged(who, row)),
  /** One's own, and administrators everybody's. */
  own: alive((_, who, row) => admins(who, row) || isOwn(who, row)),
  /** Limits: those of whom one sees, of one's department, and of everyone. */
  limits: alive(
    ({ department }, who, row) =>
      row.holds === 'everyone' || (row.holds != null && row.holds === department) || records(who, row),
  ),
  known: alive(() => true),
  everybodys,
  admins,
} satisfies Record<string, Rule>
export type RuleName = keyof typeof RULES
