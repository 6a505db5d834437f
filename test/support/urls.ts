export interface Login {
  user: string
  password: string
}

/** The same server, another database, and maybe another login. */
export function onDatabase(url: string, database: string, login?: Login): string {
  const target = new URL(url)
  target.pathname = `/${database}`
  if (login) {
    target.username = login.user
    target.password = login.password
  }
  return target.href
}
