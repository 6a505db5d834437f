import type { Browser } from './signed-in-client.ts'

/** What a person does on the sign-in page: press the button that says this. */
export interface Visit {
  press: string
  /** The pages they saw. */
  seen?: string[]
}

const decoded = (html: string): string =>
  html.replaceAll(
    /&(amp|lt|gt|quot|#39);/g,
    (_, name: string) => ({ amp: '&', lt: '<', gt: '>', quot: '"' })[name] ?? "'",
  )

/** The fields of a form as it is sent by the button that is pressed; a script's form has none to press. */
function fieldsOf(html: string, press: string): URLSearchParams {
  const fields = new URLSearchParams()
  for (const [, name = '', value = ''] of html.matchAll(
    /<input type="hidden" name="([^"]*)" value="([^"]*)"/g,
  )) {
    fields.set(name, decoded(value))
  }
  for (const [, attributes = '', label = ''] of html.matchAll(/<button ([^>]*)>([^<]*)/g)) {
    if (decoded(label) !== press) continue
    const [, name = ''] = /name="([^"]*)"/.exec(attributes) ?? []
    const [, value = ''] = /value="([^"]*)"/.exec(attributes) ?? []
    fields.set(name, decoded(value))
  }
  return fields
}

/** A browser without a screen: it keeps cookies, follows redirects, and sends the forms of the pages it gets. */
export function formBrowser(visit: Visit): Browser {
  const cookies = new Map<string, string>()
  return async (address) => {
    const home = address.origin
    let url = address
    let form: URLSearchParams | undefined
    for (let step = 0; step < 20; step += 1) {
      if (url.origin !== home) return url
      const response = await fetch(url, {
        redirect: 'manual',
        headers: {
          cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
          ...(form === undefined ? {} : { origin: home }),
        },
        ...(form === undefined ? {} : { method: 'POST', body: form }),
      })
      for (const cookie of response.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
        if (value === '') cookies.delete(name)
        else cookies.set(name, value)
      }
      form = undefined
      const location = response.headers.get('location')
      if (location !== null) {
        url = new URL(location, url)
        continue
      }
      const html = await response.text()
      visit.seen?.push(html)
      if (!response.ok || !html.includes('<form')) throw new Error(`${url.href} ${response.status}: ${html}`)
      const [, action = url.href] = /<form [^>]*action="([^"]*)"/.exec(html) ?? []
      form = fieldsOf(html, visit.press)
      url = new URL(decoded(action), url)
    }
    throw new Error('The sign-in leads in a circle')
  }
}
