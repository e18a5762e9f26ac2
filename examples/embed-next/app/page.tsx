import { cookies } from "next/headers";
import { Chat } from "./Chat";
import { login, logout } from "./login/actions";

export default async function Page() {
  const user = (await cookies()).get("token");
  return (
    <>
      <main>
        <h1>Handbook</h1>
        <h2>Holidays</h2>
        <p>Everybody has thirty days a year. Tell your team a month before.</p>
        <h2>Machines</h2>
        <p>Take the one you like. It is yours after three years.</p>
        {user ? <form action={logout}><button>Log out</button></form> : <form action={login}><button>Log in as Ada</button></form>}
      </main>
      <aside aria-label="Chat">{user ? <Chat /> : <p>Log in to chat.</p>}</aside>
    </>
  );
}
